/** How many batches may run at once. */
export interface Concurrency {
  /** The most batches of the model that run at once. */
  concurrency: number;
  /** Models of one name here share their concurrency: one that was replaced, and its replacement. @default the model's alone */
  concurrentWith?: string | undefined;
}

/** Batches that run, of each model or of those that share their concurrency. */
export class RunningBatches<M> {
  readonly #counts = new Map<M | string, number>();

  mayRun(model: M, { concurrency, concurrentWith }: Concurrency): boolean {
    return (this.#counts.get(concurrentWith ?? model) ?? 0) < concurrency;
  }

  /** One more, or one less. */
  add(model: M, { concurrentWith }: Concurrency, change: 1 | -1): void {
    const key = concurrentWith ?? model;
    const count = (this.#counts.get(key) ?? 0) + change;
    if (count > 0) this.#counts.set(key, count);
    else this.#counts.delete(key);
  }
}
