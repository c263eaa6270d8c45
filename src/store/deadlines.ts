/** When a task expires that has not begun by then. */
export interface Deadline {
  id: string;
  /** Milliseconds since the epoch. */
  expiresAt: number;
}

/**
 * The deadlines of tasks that wait, so that one expires on time where no worker is there to notice. What is forgotten here is
 * noticed by the worker that the task comes to. Both implementations pass `tests/contract/deadlines.test.ts`.
 */
export interface Deadlines {
  /** Remembers when tasks expire; a later call for the same task replaces it. Rejects with `StoreUnavailable`. */
  add(deadlines: readonly Deadline[]): Promise<void>;
  /** Ids whose deadline has passed at `now`, the oldest first, at most `limit`. They stay until they are removed. */
  due(now: number, limit: number): Promise<string[]>;
  remove(ids: readonly string[]): Promise<void>;
}
