import type { Tensor } from '../../src/tensor/tensor.ts';
import type { ProbeRow } from './probe-rows.ts';

/** A row with what a run of it alone gave. */
export interface Alone extends ProbeRow {
  outputs: readonly Tensor[];
  index: number;
}

/** Rows that are tried of a model that is slow, or takes much memory. */
export const ROWS_FEW = 3;

/**
 * The batches that are tried whatever they cost: an ordinary row at every place, once more beside itself, since some models look for what
 * they have seen, and beside each neighbour by itself, since NaN hides the rest.
 */
export function* essentialBatches(alone: readonly Alone[]): Generator<Alone[]> {
  const isOrdinary = (row: Alone) => row.isOrdinary;
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
