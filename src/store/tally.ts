/** Bytes by owner, and all of them. */
export class Tally {
  readonly #byOwner = new Map<string, number>();
  #total = 0;

  get total(): number {
    return this.#total;
  }

  of(owner: string): number {
    return this.#byOwner.get(owner) ?? 0;
  }

  /** A negative amount takes away. */
  add(owner: string, bytes: number): void {
    this.#total += bytes;
    const sum = this.of(owner) + bytes;
    if (sum === 0) this.#byOwner.delete(owner);
    else this.#byOwner.set(owner, sum);
  }

  entries(): Iterable<[owner: string, bytes: number]> {
    return this.#byOwner;
  }
}
