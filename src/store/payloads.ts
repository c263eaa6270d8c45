import type { Submission } from '../task/task.ts';

/**
 * The inputs of tasks that are too large for the broker: kept beside their record, for as long as that is unfinished. The change
 * that ends a task, whatever it is and whoever makes it, removes them in the same step. Both implementations pass
 * `tests/contract/payloads.test.ts`.
 */
export interface Payloads {
  /**
   * Keeps the inputs of a task, unless some are kept already: of several submissions of one task, the first counts. Resolves with
   * the bytes that are kept then, or with `undefined` if the task has ended. Rejects with `StoreUnavailable`, which is `StoreFull` where there is no room.
   */
  put(of: Pick<Submission, 'id' | 'owner' | 'submittedAt'>, payload: Uint8Array): Promise<number | undefined>;
  /** What is kept of a task; `undefined` if nothing is. Rejects with `StoreUnavailable`. */
  get(id: string): Promise<Uint8Array | undefined>;
}
