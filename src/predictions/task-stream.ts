import { Overloaded } from '../errors.ts';
import type { TaskListener, TaskStore } from '../store/store.ts';

/**
 * Tasks that all streams of a process may wait for together: about 400 MiB of listeners and of what they know of their tasks. Streams are counted where requests are,
 * but one of them may name a thousand tasks.
 */
const LISTENERS_MAX = 300_000;

/**
 * What every stream of tasks has in common: listeners that are there before the first read, one reader that sleeps
 * until it is woken, and an end that takes effect at once. Written by hand because an async generator that waits can not be
 * ended from outside: its `return()` queues behind the `next()` that never comes, and every disconnected client leaks one.
 */
export abstract class TaskStream<T> implements AsyncIterableIterator<T, undefined, undefined> {
  readonly #unwatch = new Map<string, () => void>();
  #wake: (() => void) | undefined;
  #closed = false;

  /** The next item, `'wait'` if there is none yet, `undefined` if there will be none. */
  protected abstract take(): Promise<T | 'wait' | undefined>;

  async next(): Promise<IteratorResult<T, undefined>> {
    while (!this.#closed) {
      // Made before the read, so that what happens during the read wakes us.
      const woken = new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      const item = await this.take().catch(async (error: unknown) => {
        await this.return();
        throw error;
      });
      if (this.#closed || item === undefined) break;
      if (item !== 'wait') return { value: item, done: false };
      await woken;
    }
    return this.return();
  }

  /** Ends the stream at once and leaves nothing behind. Calling it again does nothing. */
  async return(): Promise<IteratorReturnResult<undefined>> {
    this.#closed = true;
    for (const unwatch of this.#unwatch.values()) unwatch();
    this.#unwatch.clear();
    this.#wake?.();
    return { value: undefined, done: true };
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  /** For what will be watched. Throws RATE_LIMITED. */
  protected static makeRoom(store: TaskStore, listeners: number): void {
    if (store.watching() + listeners > LISTENERS_MAX) {
      throw new Overloaded(`this process waits for ${store.watching()} tasks and takes no more`);
    }
  }

  protected watch(store: TaskStore, id: string, listener: TaskListener): void {
    const unwatch = store.watch(id, (event) => {
      listener(event);
      this.#wake?.();
    });
    this.#unwatch.set(id, unwatch);
  }

  protected unwatch(id: string): void {
    this.#unwatch.get(id)?.();
    this.#unwatch.delete(id);
  }
}
