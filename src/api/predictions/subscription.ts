/**
 * A stream as a client subscribes to it: `onPush` is told of what goes out, `onEnd` once that it has ended, by itself or because
 * the client has gone: when `gone` aborts, also before anybody has begun to read.
 */
export function subscribe<T>(
  stream: AsyncIterableIterator<T, undefined, undefined>,
  { gone, onPush, onEnd }: { gone: AbortSignal | undefined; onPush: (item: T) => void; onEnd: () => void },
): AsyncIterableIterator<T, undefined, undefined> {
  let hasEnded = false;
  const end = () => {
    gone?.removeEventListener('abort', leave);
    if (!hasEnded) onEnd();
    hasEnded = true;
  };
  const leave = () => {
    end();
    void stream.return?.();
  };
  if (gone?.aborted) leave();
  else gone?.addEventListener('abort', leave);
  return {
    async next() {
      try {
        const result = await stream.next();
        if (result.done) end();
        else onPush(result.value);
        return result;
      } catch (error) {
        end();
        throw error;
      }
    },
    async return() {
      end();
      await stream.return?.();
      return { value: undefined, done: true };
    },
    [Symbol.asyncIterator]() {
      return this;
    },
  };
}
