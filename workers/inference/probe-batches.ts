import type { Tensor } from '../../src/tensor/tensor.ts';
import type { ProbeRow } from './probe-rows.ts';

/** A row, and what it gives alone. */
export interface RowAlone extends ProbeRow {
  outputs: readonly Tensor[];
  index: number;
}

/** How many rows are tried where each takes long, or much memory. */
export const ROWS_FEW = 3;

/** Sizes of batches beyond those that are tried whatever they cost, in the order of their worth. */
const SIZES = [17, 4, 33, 8, 6, 64, 16, 7, 32, 12, 5, 3];
const SIZE_MAX = 256;

/**
 * The batches that are tried whatever they cost: an ordinary row at every place, once more beside itself, since some models look for what
 * they have seen, and beside each neighbour by itself, since NaN hides the rest.
 */
export function* essentialBatches(alone: readonly RowAlone[]): Generator<RowAlone[]> {
  const isOrdinary = (row: RowAlone) => row.isOrdinary;
  const ordinary = alone.filter(isOrdinary);
  const neighbours = alone.filter((row) => !isOrdinary(row));
  const [first = neighbours[0], second = first, third = second] = ordinary;
  if (!first || !second || !third) return;
  yield [first, second, first];
  for (const [i, neighbour] of neighbours.entries()) yield i % 2 ? [second, neighbour] : [neighbour, first];
  // With few rows, those above have to do.
  const [one, other] = neighbours.toReversed();
  if (alone.length <= ROWS_FEW || !one || !other) return;
  yield [third, one, first, other, second];
  yield [first, second, third, second, first, third, first, first, second];
}

/** What batches are made of. */
export interface Sampling {
  alone: readonly RowAlone[];
  ordinary: readonly RowAlone[];
  rowsMax: number;
  random: () => number;
}

export interface Sampled {
  size: number;
  make: () => RowAlone[];
}

/** A model that mixes from some size on does so in the largest batch. */
export function largestBatches(of: Sampling): Generator<Sampled> {
  const largest = Math.min(of.rowsMax, SIZE_MAX);
  return sampled([largest, largest], of);
}

/** Batches that are full of one neighbour, so that no other makes up for it; then other sizes: those that are worth most, and all others. */
export function* furtherBatches(of: Sampling): Generator<Sampled> {
  const size = Math.min(of.rowsMax, SIZE_MAX);
  const [first] = of.ordinary;
  for (const row of first ? of.alone : []) {
    if (first && !row.isOrdinary)
      yield { size, make: () => Array.from({ length: size }, (_, i) => (i > 0 ? row : first)) };
  }
  const others = Array.from({ length: size }, (_, i) => i + 1).filter((each) => each > 1 && !SIZES.includes(each));
  yield* sampled([...SIZES, ...others], of);
}

/** By turns they hold all neighbours, whose NaN would hide what else is mixed, and ordinary rows alone. */
function* sampled(sizes: readonly number[], { alone, ordinary, random }: Sampling): Generator<Sampled> {
  for (const [i, size] of sizes.entries()) {
    const from = i % 2 && ordinary.length > 1 ? ordinary : alone;
    const make = () => Array.from({ length: size }, () => from[Math.floor(from.length * random())] ?? []).flat();
    yield { size, make };
  }
}
