import type { Bound } from '../../ledger/bound.ts';
import type { TaskListener, TaskStore } from '../../store/store.ts';
import type { Hold } from './results.ts';

/** Whose share of this process a stream takes. */
export interface StreamShare {
  /** `listeners` of the ledger; none where nothing is bounded. */
  bound?: Bound | undefined;
  payer: string;
  /** Told how many bytes of results the stream holds from now on; throws RATE_LIMITED where there is no room. @default no bound */
  hold?: Hold | undefined;
}

/**
 * What every stream of tasks has in common: listeners that are there before the first read, one reader that sleeps
 * until it is woken, and an end that takes effect at once. Written by hand because an async generator that waits can not be
 * ended from outside: its `return()` queues behind the `next()` that never comes, and every disconnected client leaks one.
 */
export abstract class TaskStream<T> implements AsyncIterableIterator<T, undefined, undefined> {
  readonly #store: TaskStore;
  readonly #share: StreamShare;
  readonly #unwatch = new Map<string, () => void>();
  #wake: (() => void) | undefined;
  #closed = false;

  /** Throws RATE_LIMITED where there is no room for so many listeners, and then has none. */
  protected constructor(store: TaskStore, share: StreamShare, listeners: number) {
    this.#store = store;
    this.#share = share;
    share.bound?.take(share.payer, listeners);
  }

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

  /** One of those that room was made for. */
  protected watch(id: string, listener: TaskListener): void {
    const { bound, payer } = this.#share;
    const onEvent: TaskListener = (event) => {
      listener(event);
      this.#wake?.();
    };
    const unwatch = this.#store.watch(id, onEvent, payer);
    this.#unwatch.set(id, () => {
      unwatch();
      bound?.give(payer, 1);
    });
  }

  protected unwatch(id: string): void {
    this.#unwatch.get(id)?.();
    this.#unwatch.delete(id);
  }
}
