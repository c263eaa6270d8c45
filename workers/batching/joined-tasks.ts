import type { OwnerCosts } from './owner-costs.ts';
import type { StartRate } from './start-rate.ts';

/** The most bytes of input that are joined for one run; larger inputs make smaller batches, the largest run alone. */
export const BATCH_BYTES_MAX = 64 * 1024 * 1024;

/** A task that waits, as a run counts it. */
export interface Entry<T> {
  item: T;
  rows: number;
  bytes: number;
  /** Entries with the same key can share a run; `undefined` for one that runs alone. */
  key: string | undefined;
}

export type Batch<T> = [Entry<T>, ...Entry<T>[]];

/** What can share a run with `first`, in order, up to the first that does not fit. */
export function gather<T extends { owner: string }>(
  first: Entry<T>,
  others: readonly Entry<T>[],
  limits: { maxBatch: number; starts?: StartRate | undefined; costs?: OwnerCosts | undefined },
  now: number,
): { batch: Batch<T>; full: boolean } {
  const { maxBatch, starts, costs } = limits;
  const maxTasks = Math.min(maxBatch, starts?.most ?? maxBatch);
  const batch: Batch<T> = [first];
  let { rows, bytes } = first;
  for (const entry of others) {
    if (rows >= maxBatch || batch.length >= maxTasks) break;
    if (entry === first || entry.key !== first.key) continue;
    if (costs?.areApart(first.item.owner, entry.item.owner, now)) continue;
    if (rows + entry.rows > maxBatch || bytes + entry.bytes > BATCH_BYTES_MAX) return { batch, full: true };
    batch.push(entry);
    rows += entry.rows;
    bytes += entry.bytes;
  }
  return { batch, full: rows >= maxBatch || batch.length >= maxTasks };
}
