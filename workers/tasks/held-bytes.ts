import { createListeners } from '../../src/async/listeners.ts';

/** Inputs that a worker holds at once, over all queues, as they came: half of it of one model. */
export const HELD_BYTES_MAX = 512 * 1024 * 1024;

/** No more is taken from here on … */
const PAUSE_AT = 0.75;
/** … until there is less than this. */
const RESUME_AT = 0.5;

/** What a worker holds, in bytes: a bound on its memory, of which a model whose runs are slow cannot take all. */
export interface HeldBytes {
  /** Counts a delivery; `false` if there is no room for it, and it is to be given back. */
  take(model: string, bytes: number): boolean;
  give(model: string, bytes: number): void;
  /** Whether no more is to be taken of a model's queues at present. */
  isPaused(model: string): boolean;
  total(): number;
  deliveries(): number;
  /** Calls `listener` when `isPaused` may say otherwise of some models than before; returns the function that ends it. */
  onChange(listener: () => void): () => void;
}

export function createHeldBytes({ max }: { max: number }): HeldBytes {
  const changed = createListeners();
  const all = new Level(max);
  const levels = new Map<string, Level>();
  let deliveries = 0;

  const levelOf = (model: string): Level => {
    const level = levels.get(model) ?? new Level(max / 2);
    levels.set(model, level);
    return level;
  };
  const isPaused = (model: string) => all.isPaused || levelOf(model).isPaused;
  const tell = (changes: readonly boolean[]) => {
    if (changes.includes(true)) changed.call();
  };
  return {
    take(model, bytes) {
      const full = [all, levelOf(model)].filter((level) => !level.fits(bytes));
      if (full.length > 0) {
        tell(full.map((level) => level.pause()));
        return false;
      }
      deliveries += 1;
      tell([all.add(bytes), levelOf(model).add(bytes)]);
      return true;
    },
    give(model, bytes) {
      deliveries -= 1;
      tell([all.add(-bytes), levelOf(model).add(-bytes)]);
    },
    isPaused,
    total: () => all.bytes,
    deliveries: () => deliveries,
    onChange: changed.add,
  };
}

class Level {
  readonly #max: number;
  bytes = 0;
  isPaused = false;

  constructor(max: number) {
    this.#max = max;
  }

  /** What is larger than all of it fits where nothing else is. */
  fits(bytes: number): boolean {
    return this.bytes === 0 || this.bytes + bytes <= this.#max;
  }

  /** Like `pause`, says whether that changed `isPaused`. */
  add(bytes: number): boolean {
    this.bytes += bytes;
    if (this.bytes >= this.#max * PAUSE_AT) return this.pause();
    const resumes = this.isPaused && this.bytes < this.#max * RESUME_AT;
    if (resumes) this.isPaused = false;
    return resumes;
  }

  pause(): boolean {
    const before = this.isPaused;
    this.isPaused = true;
    return !before;
  }
}
