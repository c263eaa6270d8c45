import type { Change, Submission, Task, TaskEvent, TaskHead } from '../task/task.ts';

/** Called with each change that it watches for; with `'reread'` when events may have been missed (a reconnect, or simply now and then). */
export type TaskListener = (event: TaskEvent | 'reread') => void;

/** Results that one call reads, unless it is a single one: what is in memory before anybody can say that it is too much. */
export const READ_BYTES_MAX = 8 * 1024 * 1024;

/**
 * Where tasks are kept. Every method rejects with `StoreUnavailable` when the store cannot be reached in time.
 * Both implementations pass `tests/contract/store.ts`.
 */
export interface TaskStore {
  /** Whether a command sent now would be carried out, and what it publishes heard. */
  isReady(): boolean;
  /** Writes records in state QUEUED. Publishes nothing: nobody can know the ids yet. Leaves a record that exists as it is. Rejects with `StoreFull` where there is no room; then none of them is queued. */
  create(submissions: readonly Submission[]): Promise<void>;
  /**
   * The tasks, in the order asked, from the first on; `undefined` for one that is unknown, expired or withdrawn. Fewer than were
   * asked, but at least one, where results altogether are larger than `READ_BYTES_MAX`. At most 1,000 ids. With an `owner`, a task of anybody else's is
   * unknown, and found to be so before its result is read: that takes as long as for an id that there never was.
   */
  get(ids: readonly string[], owner?: string): Promise<(Task | undefined)[]>;
  /** Like `get`, without results: cheap however large the outputs are. */
  heads(ids: readonly string[], owner?: string): Promise<(TaskHead | undefined)[]>;
  /**
   * Applies a change if the table in `task.ts` allows it: writes, sets the time to live and publishes, as one atomic step.
   * Resolves with the number of attempts after it, or `undefined` if the present state refuses. Rejects with `StoreFull` where there is no room for
   * a result; the task stays as it was, and an end without a result has room.
   */
  transition(id: string, change: Change): Promise<number | undefined>;
  /**
   * Calls `listener` for every change that is published from now on; returns the function that ends it. Synchronous, fails only where the store was opened
   * for stops alone. Listeners are told to read again payer by payer.
   */
  watch(id: string, listener: TaskListener, payer?: string): () => void;
  /** Like `watch`, for the changes alone by which a task ends without a result (`isStop`): few, so that a worker does not hear of its own work. */
  watchStops(id: string, listener: TaskListener): () => void;
  /** Listeners registered at present. */
  watching(): number;
  close(): Promise<void>;
}
