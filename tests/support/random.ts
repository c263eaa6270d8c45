/** Choices that look random and are the same again for the same seed. */
export interface Random {
  /** A whole number, both ends included. */
  integer(min: number, max: number): number;
  /** `count` different members of a list, in any order. */
  some<T>(count: number, list: readonly T[]): T[];
  shuffled<T>(list: readonly T[]): T[];
}

/** Mulberry32: 32 bits of state, good enough to choose a moment. */
export function createRandom(seed: number): Random {
  let state = seed >>> 0;
  const fraction = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  const integer = (min: number, max: number) => min + Math.floor(fraction() * (max - min + 1));
  const shuffled = <T>(list: readonly T[]) => {
    const rest = [...list];
    return list.flatMap(() => rest.splice(integer(0, rest.length - 1), 1));
  };
  return { integer, shuffled, some: (count, list) => shuffled(list).slice(0, count) };
}
