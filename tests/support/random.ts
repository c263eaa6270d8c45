import { seeded } from '../../workers/inference/seeded.ts';

/** Chance that is the same again for the same seed. */
export interface Random {
  /** From 0 up to, but not including, 1. */
  fraction(): number;
  /** A whole number, both ends included. */
  integer(least: number, most: number): number;
  chance(probability: number): boolean;
  uuid(): string;
  /** `count` different members of a list, in any order. */
  some<T>(count: number, list: readonly T[]): T[];
  shuffled<T>(list: readonly T[]): T[];
}

/** Good enough to make trouble. */
export function createRandom(seed: number): Random {
  const fraction = seeded(seed);
  const hex = (length: number) =>
    Math.floor(fraction() * 16 ** length)
      .toString(16)
      .padStart(length, '0');
  const integer = (least: number, most: number) => least + Math.floor(fraction() * (most - least + 1));
  const shuffled = <T>(list: readonly T[]) => {
    const rest = [...list];
    return list.flatMap(() => rest.splice(integer(0, rest.length - 1), 1));
  };
  return {
    fraction,
    integer,
    chance: (probability) => fraction() < probability,
    shuffled,
    some: (count, list) => shuffled(list).slice(0, count),
    uuid: () => `${hex(8)}-${hex(4)}-4${hex(3)}-8${hex(3)}-${hex(6)}${hex(6)}`,
  };
}
