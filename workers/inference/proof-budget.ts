/** A run that takes less than this of the processor gets a proof in `QUICK_PROOF_MS`. */
const QUICK_MS = 1;
const QUICK_PROOF_MS = 14;
/** A slower one gets as many times its own time: for every probe there is, beside large batches. */
const SLOW_RUNS = 60;

/** The time that a proof may take. What is essential has all of `budgetMs`; what is not, so much as the model's speed allows. */
export class ProofBudget {
  readonly #endsAt: number;
  readonly #cpuStartedAt = cpuMs();
  /** By what this process has used, not by the clock: a busy machine makes no weaker proof. */
  #cpuUntil: number;
  /** What one row takes of the processor. */
  #rowMs = 0;

  constructor(budgetMs: number) {
    this.#endsAt = performance.now() + budgetMs;
    this.#cpuUntil = this.#cpuStartedAt + budgetMs;
  }

  get rowMs(): number {
    return this.#rowMs;
  }

  /** Runs one row, and takes its time for that of any other. */
  async measure<T>(run: () => Promise<T>): Promise<T> {
    const startedAt = cpuMs();
    const result = await run();
    this.#rowMs = cpuMs() - startedAt;
    this.#cpuUntil = this.#cpuStartedAt + (this.#rowMs < QUICK_MS ? QUICK_PROOF_MS : SLOW_RUNS * this.#rowMs);
    return result;
  }

  /** Whether nothing may begin any more. */
  isOut(): boolean {
    return performance.now() >= this.#endsAt;
  }

  /** Whether there is time for so many rows in one run, beyond what is essential. A batch takes less than its rows alone. */
  affords(rows: number): boolean {
    return !this.isOut() && cpuMs() + (rows * this.#rowMs) / 2 <= this.#cpuUntil;
  }
}

function cpuMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1_000;
}
