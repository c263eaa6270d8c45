/** A run that takes less than this of the processor gets a proof in `QUICK_PROOF_MS`. */
const QUICK_MS = 1;
const QUICK_PROOF_MS = 12;
/** A slower one gets so many times its own time, for every probe there is beside large batches, and no more than this. */
const SLOW_RUNS = 160;
const SLOW_PROOF_MS = 1_500;

/** By the clock it may be so many times what a proof may take of the processor: a busy machine makes no weaker proof. */
const CLOCK_FACTOR = 3;

/** The time that a proof may take. What is essential has all of `budgetMs` of the processor; what is not, so much as the model's speed allows. */
export class ProofBudget {
  readonly #cpuStartedAt = cpuMs();
  readonly #budgetMs: number;
  readonly #endsAt: number;
  #extraMs: number;
  /** What all runs took. What is around them is dear in a new process only, and must not make its first proofs weaker. */
  #ranMs = 0;
  /** What one row takes of the processor, and by the clock. */
  #rowMs = 0;
  #rowTakesMs = 0;
  /** What a row takes of the processor beside others, which may be far less. */
  #sharedRowMs = Number.POSITIVE_INFINITY;

  constructor(budgetMs: number) {
    this.#budgetMs = budgetMs;
    this.#extraMs = budgetMs;
    this.#endsAt = performance.now() + CLOCK_FACTOR * budgetMs;
  }

  get rowMs(): number {
    return this.#rowMs;
  }

  /** Runs one row, and takes its time for that of any other. */
  async measure<T>(run: () => Promise<T>): Promise<T> {
    const [ranMs, startedAt] = [this.#ranMs, performance.now()];
    const result = await run();
    this.#rowMs = this.#ranMs - ranMs;
    this.#rowTakesMs = performance.now() - startedAt;
    this.#extraMs = this.#rowMs < QUICK_MS ? QUICK_PROOF_MS : Math.min(SLOW_PROOF_MS, SLOW_RUNS * this.#rowMs);
    return result;
  }

  /** Runs so many rows at once, and learns from it what others will take. */
  async run<T>(rows: number, run: () => Promise<T>): Promise<T> {
    const startedAt = cpuMs();
    try {
      return await run();
    } finally {
      const tookMs = cpuMs() - startedAt;
      this.#ranMs += tookMs;
      if (rows > 1) this.#sharedRowMs = Math.min(this.#sharedRowMs, tookMs / rows);
    }
  }

  /** Whether a run of so many rows would not end in time: one that goes on for too long costs its process. */
  isOut(rows: number): boolean {
    const usedMs = cpuMs() - this.#cpuStartedAt + this.#costMs(rows);
    return usedMs > this.#budgetMs || performance.now() + rows * this.#rowTakesMs > this.#endsAt;
  }

  /** Whether there is time for a run of so many rows, beyond what is essential. */
  affords(rows: number): boolean {
    return !this.isOut(rows) && this.#ranMs + this.#costMs(rows) <= this.#extraMs;
  }

  /** Of the processor. */
  #costMs(rows: number): number {
    return rows * (rows > 1 ? Math.min(this.#rowMs, this.#sharedRowMs) : this.#rowMs);
  }
}

function cpuMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1_000;
}
