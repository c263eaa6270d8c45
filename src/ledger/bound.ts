import { Overloaded } from '../errors.ts';
import { shareOf } from './share.ts';

export interface BoundOptions {
  /** What is counted, in the plural, as a sentence names it: `open streams`. */
  what: string;
  /** The most that all owners hold together. */
  max: number;
  /** When one that was refused may come back, in milliseconds. @default RETRY_AFTER_MS */
  retryAfterMs?: number;
}

const RETRY_AFTER_MS = 1_000;

/** One bound of a process, and what each owner holds of it. Each taker gives back the same amount, once. */
export class Bound {
  readonly what: string;
  readonly max: number;
  readonly #retryAfterMs: number;
  readonly #held = new Map<string, number>();
  #used = 0;
  #refusals = 0;

  constructor({ what, max, retryAfterMs = RETRY_AFTER_MS }: BoundOptions) {
    this.what = what;
    this.max = max;
    this.#retryAfterMs = retryAfterMs;
  }

  /** What all owners hold. */
  get used(): number {
    return this.#used;
  }

  /** How often an owner was refused. */
  get refusals(): number {
    return this.#refusals;
  }

  heldBy(owner: string): number {
    return this.#held.get(owner) ?? 0;
  }

  /** Whether an owner may hold so much more at present. */
  hasRoom(owner: string, amount: number): boolean {
    const used = this.#used + amount;
    return this.heldBy(owner) + amount <= shareOf(this.max, used);
  }

  /** Counts an amount in before it is really taken. Throws RATE_LIMITED, saying whose limit it was, and then counts nothing. */
  take(owner: string, amount: number): void {
    if (!this.hasRoom(owner, amount)) {
      this.#refusals += 1;
      throw this.#refusal(owner, amount);
    }
    this.#used += amount;
    this.#held.set(owner, this.heldBy(owner) + amount);
  }

  /** Counts out what was taken. */
  give(owner: string, amount: number): void {
    this.#used -= amount;
    const left = this.heldBy(owner) - amount;
    if (left > 0) this.#held.set(owner, left);
    else this.#held.delete(owner);
  }

  #refusal(owner: string, amount: number): Overloaded {
    const held = this.heldBy(owner);
    // Beyond this the owner would be refused also where nobody else is there.
    const alone = Math.floor(shareOf(this.max, 0.9 * this.max));
    const whose =
      held + amount > alone || held > this.#used / 2
        ? `you hold ${held} (an owner may hold at most nine times what is free)`
        : `others hold ${this.#used - held}`;
    const message = `no room for ${amount} more ${this.what}: the limit of this process is ${this.max}, and ${whose}; try again later`;
    return new Overloaded(message, this.#retryAfterMs);
  }
}
