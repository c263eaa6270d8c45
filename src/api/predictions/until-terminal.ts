import { AppError } from '../../errors.ts';
import type { TaskStore } from '../../store/store.ts';
import { Completions } from './completions.ts';
import type { StreamShare } from './task-stream.ts';

interface WaitOptions {
  owner: string;
  waitMs: number;
  signal?: AbortSignal | undefined;
  share?: StreamShare | undefined;
}

/**
 * Resolves when all of the tasks are terminal, when the time is up, or when the signal aborts, whichever is first. Also if the
 * store cannot be listened to: the tasks were accepted, so whatever the wait meets, the client is given their ids.
 */
export async function untilTerminal(
  store: TaskStore,
  ids: readonly string[],
  { owner, waitMs, signal, share }: WaitOptions,
): Promise<void> {
  const stream = await Completions.open(store, ids, owner, share).catch((error: unknown) => {
    if (error instanceof AppError) return undefined;
    throw error;
  });
  if (!stream) return;
  const stop = () => void stream.return();
  const timer = setTimeout(stop, waitMs);
  signal?.addEventListener('abort', stop, { once: true });
  if (signal?.aborted) stop();
  try {
    while (!(await stream.next()).done);
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', stop);
    stop();
  }
}
