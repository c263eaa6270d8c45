import type { Lane } from '../../src/broker/topology.ts';
import { byteLengths, type Tensor } from '../../src/tensor/tensor.ts';
import { batchKey, rowsOf } from './batch-tensors.ts';
import { type Batch, type Entry, gather } from './joined-tasks.ts';
import type { OwnerCosts } from './owner-costs.ts';
import { inOrder } from './owner-order.ts';
import type { Concurrency } from './running-batches.ts';
import type { StartRate } from './start-rate.ts';

/** What a model allows. */
export interface BatchLimits extends Concurrency {
  /** Whether tasks may share a run at this moment: it may end while they wait. */
  shares: () => boolean;
  /** The most rows, and the most tasks, of one run; a task with more rows than that runs alone. */
  maxBatch: number;
  /** How long a batch that is not full may wait for more. */
  maxDelayMs: number;
  /** How many of its tasks may begin in a second; several models may share one. @default no limit */
  starts?: StartRate | undefined;
  /** Who goes behind whom; several models may share one. @default owners stand alike */
  costs?: OwnerCosts | undefined;
}

/** A task that waits for its run. */
export interface BatchItem<M> {
  model: M;
  owner: string;
  inputs: readonly Tensor[];
  lane: Lane;
  /** It shares its run with nobody: it may be what made an earlier run fail. */
  readonly alone: boolean;
  /** Milliseconds on any clock, the same for all. Of its lane, the oldest goes first. */
  arrivedAt: number;
}

/** The tasks of one model: of each lane, the oldest first. */
export interface Line<T> {
  limits: BatchLimits;
  /** Of the batches that run, those whose owner does not stand as ordinary. */
  hogs: number;
  entries: Record<Lane, Entry<T>[]>;
}

/** When it is asked, and whether tasks of suspect owners may begin then. */
export interface Moment {
  at: number;
  maySuspects: boolean;
}

export function entryOf<M, T extends BatchItem<M>>(item: T, { maxBatch }: BatchLimits): Entry<T> {
  const rows = rowsOf(item.inputs);
  // Some models fail or crash without any row: as a part of a shared run, such a task would cost others theirs when it is checked.
  const mayShare = !item.alone && rows !== undefined && rows > 0 && rows <= maxBatch;
  const bytes = byteLengths(item.inputs);
  return { item, rows: rows ?? 0, bytes, key: mayShare ? batchKey(item.inputs) : undefined };
}

/** The batch that begins with the oldest task of a lane that need not wait for more. */
export function dueBatch<M, T extends BatchItem<M>>(
  { entries, limits }: Line<T>,
  lane: Lane,
  order: Moment,
): Batch<T> | undefined {
  const { at: now } = order;
  const mayBegin = limits.starts?.available(now) ?? Number.POSITIVE_INFINITY;
  if (mayBegin < 1) return undefined;
  const high = inOrder(entries.high, limits.costs, order);
  const normal = inOrder(entries.normal, limits.costs, order);
  // Filled from its own lane first: normal's share is a share of the tasks, not of the runs alone.
  const all = lane === 'high' ? [...high, ...normal] : [...normal, ...high];
  const held = new Set<string>();
  const shares = limits.shares();
  for (const first of lane === 'high' ? high : normal) {
    if (first.key === undefined || !shares) return [first];
    if (held.has(first.key)) continue;
    const { batch, full } = gather(first, all, limits, now);
    if (full || now - first.item.arrivedAt >= limits.maxDelayMs) return [first, ...batch.slice(1, mayBegin)];
    held.add(first.key);
  }
  return undefined;
}

/** When the next batch of a line that may run falls due; `undefined` if none does by itself. */
export function dueAtOf<T extends { owner: string; arrivedAt: number }>(
  { entries, limits }: Line<T>,
  order: Moment,
): number | undefined {
  const nextAt = limits.starts?.nextAt();
  const [high] = inOrder(entries.high, limits.costs, order);
  const [normal] = inOrder(entries.normal, limits.costs, order);
  const due = [high, normal].flatMap((first) => (first ? (nextAt ?? first.item.arrivedAt + limits.maxDelayMs) : []));
  return due.length > 0 ? Math.min(...due) : undefined;
}
