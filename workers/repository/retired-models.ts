import type { LoadedModel } from './model-loading.ts';

/**
 * How long a version that was replaced or removed is kept for the tasks that were submitted for it, from the last one on. Twice as
 * long as RabbitMQ leaves a delivery with a worker, so that none of them is in hand any more.
 */
const RETIRED_MS = 60 * 60_000;

/** Versions that were replaced or removed, by their fingerprints. */
export class RetiredModels {
  readonly #retired = new Map<string, { model: LoadedModel; usedAt: number }>();

  add(model: LoadedModel): void {
    this.#retired.set(model.fingerprint, { model, usedAt: Date.now() });
  }

  /** It is served again. */
  remove(fingerprint: string): void {
    this.#retired.delete(fingerprint);
  }

  all(): LoadedModel[] {
    return [...this.#retired.values()].map(({ model }) => model);
  }

  /** The one that a task is for. */
  use(fingerprint: string): LoadedModel | undefined {
    const retired = this.#retired.get(fingerprint);
    if (retired) retired.usedAt = Date.now();
    return retired?.model;
  }

  /** Lets go of those that no task was for any more. */
  letGo(): void {
    for (const [fingerprint, { usedAt }] of this.#retired) {
      if (Date.now() - usedAt > RETIRED_MS) this.#retired.delete(fingerprint);
    }
  }
}
