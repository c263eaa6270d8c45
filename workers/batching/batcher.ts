import type { Lane } from '../../src/broker/topology.ts';
import { byteLength, type Tensor } from '../../src/tensor.ts';
import { batchKey, rowsOf } from './batch-tensors.ts';
import type { StartRate } from './start-rate.ts';

/** The most bytes of input that are joined for one run; larger inputs make smaller batches, the largest run alone. */
export const BATCH_BYTES_MAX = 64 * 1024 * 1024;

/** While both lanes wait, one run in so many begins with the oldest task of the normal one: high overtakes, and starves nobody. */
export const NORMAL_SHARE = 4;

/** What a model allows. */
export interface BatchLimits {
  /** Whether tasks may share a run at this moment: it may end while they wait. */
  shares: () => boolean;
  /** The most rows, and the most tasks, of one run; a task with more rows than that runs alone. */
  maxBatch: number;
  /** How long a batch that is not full may wait for more. */
  maxDelayMs: number;
  /** The most batches of the model that run at once. */
  concurrency: number;
  /** How many of its tasks may begin in a second; several models may share one. @default no limit */
  starts?: StartRate | undefined;
  /** Models of one name here share their concurrency: one that was replaced, and its replacement. @default the model's alone */
  concurrentWith?: string | undefined;
}

export interface TakenBatch<M, T> {
  model: M;
  items: T[];
  /** To be told how many of its tasks do not begin after all: others may in their place. */
  notBegun(count: number): void;
}

/** A task that waits for its run. */
export interface BatchItem<M> {
  model: M;
  inputs: readonly Tensor[];
  lane: Lane;
  /** It shares its run with nobody: it may be what made an earlier run fail. */
  alone: boolean;
  /** Milliseconds on any clock, the same for all. Of its lane, the oldest goes first. */
  arrivedAt: number;
}

export interface Batcher<M, T extends BatchItem<M>> {
  add(item: T): void;
  /** Takes an item back; `false` if it does not wait here any more. */
  remove(item: T): boolean;
  /** The batch that is to run now, which then counts against its model's concurrency until `ended`; `undefined` if none is due. */
  take(now: number): TakenBatch<M, T> | undefined;
  /** A batch of this model no longer runs. */
  ended(model: M): void;
  /** The limits of models are not what they were: asks for them again. */
  relimit(): void;
  /** When the next of the batches that `take` holds back falls due; `undefined` if it holds none that could run. */
  dueAt(): number | undefined;
  waiting(): number;
}

interface Entry<T> {
  item: T;
  rows: number;
  bytes: number;
  /** Entries with the same key can share a run; `undefined` for one that runs alone. */
  key: string | undefined;
}

/** The tasks of one model: of each lane, the oldest first. */
interface Line<T> {
  limits: BatchLimits;
  entries: Record<Lane, Entry<T>[]>;
}

/**
 * Gathers tasks while the inference processes are busy, and hands out all that fit in a run once one is free. A run begins with
 * the oldest task, of whatever model, of the lane whose turn it is; it is filled up from that lane, then from the other.
 */
export function createBatcher<M, T extends BatchItem<M>>(limitsOf: (model: M) => BatchLimits): Batcher<M, T> {
  const lines = new Map<M, Line<T>>();
  /** Batches that run, of each model or of those that share their concurrency. */
  const running = new Map<M | string, number>();
  /** Runs in a row that began with a high task while a normal one could have begun. */
  let passedOver = 0;

  const lineOf = (model: M): Line<T> => {
    const line = lines.get(model) ?? { limits: limitsOf(model), entries: { high: [], normal: [] } };
    lines.set(model, line);
    return line;
  };
  const runningOf = (model: M, { limits }: Line<T>) => running.get(limits.concurrentWith ?? model) ?? 0;
  const countRunning = (model: M, line: Line<T>, change: number) => {
    const count = runningOf(model, line) + change;
    if (count > 0) running.set(line.limits.concurrentWith ?? model, count);
    else running.delete(line.limits.concurrentWith ?? model);
  };
  const mayRun = ([model, line]: [M, Line<T>]) => runningOf(model, line) < line.limits.concurrency;

  function oldest(lane: Lane, now: number): { line: Line<T>; batch: Batch<T> } | undefined {
    let found: { line: Line<T>; batch: Batch<T> } | undefined;
    for (const [model, line] of lines) {
      const batch = mayRun([model, line]) ? dueBatch(line, lane, now) : undefined;
      if (batch && (!found || batch[0].item.arrivedAt < found.batch[0].item.arrivedAt)) found = { line, batch };
    }
    return found;
  }

  function next(now: number): { line: Line<T>; batch: Batch<T> } | undefined {
    const [high, normal] = [oldest('high', now), oldest('normal', now)];
    const isNormalsTurn = !high || passedOver >= NORMAL_SHARE - 1;
    if (normal && isNormalsTurn) {
      passedOver = 0;
      return normal;
    }
    if (high && normal) passedOver += 1;
    return high;
  }

  return {
    add(item) {
      const { entries, limits } = lineOf(item.model);
      const lane = entries[item.lane];
      // One that comes back after a failed batch is older than those that wait.
      const place = lane.findLastIndex((entry) => entry.item.arrivedAt <= item.arrivedAt) + 1;
      lane.splice(place, 0, entryOf(item, limits));
    },
    remove(item) {
      const lane = lineOf(item.model).entries[item.lane];
      const place = lane.findIndex((entry) => entry.item === item);
      return place >= 0 && lane.splice(place, 1).length === 1;
    },
    take(now) {
      const { line, batch } = next(now) ?? {};
      if (!line || !batch) return undefined;
      const taken = new Set(batch);
      const { high, normal } = line.entries;
      line.entries = {
        high: high.filter((entry) => !taken.has(entry)),
        normal: normal.filter((entry) => !taken.has(entry)),
      };
      const { model } = batch[0].item;
      countRunning(model, line, 1);
      const notBegun = line.limits.starts?.take(batch.length, now) ?? (() => undefined);
      return { model, items: batch.map(({ item }) => item), notBegun };
    },
    ended(model) {
      const line = lineOf(model);
      countRunning(model, line, -1);
      // A model that was replaced does not come again.
      if (line.entries.high.length + line.entries.normal.length === 0) lines.delete(model);
    },
    relimit() {
      for (const [model, line] of lines) line.limits = limitsOf(model);
    },
    dueAt() {
      const due = [...lines].filter(mayRun).flatMap(
        ([
          ,
          {
            entries: { high, normal },
            limits,
          },
        ]) => {
          const nextAt = limits.starts?.nextAt();
          return [high[0], normal[0]].flatMap((first) =>
            first ? (nextAt ?? first.item.arrivedAt + limits.maxDelayMs) : [],
          );
        },
      );
      return due.length > 0 ? Math.min(...due) : undefined;
    },
    waiting: () =>
      [...lines.values()].reduce((sum, { entries }) => sum + entries.high.length + entries.normal.length, 0),
  };
}

type Batch<T> = [Entry<T>, ...Entry<T>[]];

function entryOf<M, T extends BatchItem<M>>(item: T, { maxBatch }: BatchLimits): Entry<T> {
  const rows = rowsOf(item.inputs);
  const mayShare = !item.alone && rows !== undefined && rows <= maxBatch;
  const bytes = item.inputs.reduce((sum, input) => sum + byteLength(input), 0);
  return { item, rows: rows ?? 0, bytes, key: mayShare ? batchKey(item.inputs) : undefined };
}

/** The batch that begins with the oldest task of a lane that need not wait for more. */
function dueBatch<M, T extends BatchItem<M>>(
  { entries: { high, normal }, limits }: Line<T>,
  lane: Lane,
  now: number,
): Batch<T> | undefined {
  const mayBegin = limits.starts?.available(now) ?? Number.POSITIVE_INFINITY;
  if (mayBegin < 1) return undefined;
  // Filled from its own lane first: normal's share is a share of the tasks, not of the runs alone.
  const all = lane === 'high' ? [...high, ...normal] : [...normal, ...high];
  const held = new Set<string>();
  const shares = limits.shares();
  for (const first of lane === 'high' ? high : normal) {
    if (first.key === undefined || !shares) return [first];
    if (held.has(first.key)) continue;
    const { batch, full } = gather(first, all, limits);
    if (full || now - first.item.arrivedAt >= limits.maxDelayMs) return [first, ...batch.slice(1, mayBegin)];
    held.add(first.key);
  }
  return undefined;
}

/** What can share a run with `first`, in order, up to the first that does not fit. */
function gather<T>(first: Entry<T>, others: Entry<T>[], limits: BatchLimits): { batch: Batch<T>; full: boolean } {
  const { maxBatch, starts } = limits;
  const maxTasks = Math.min(maxBatch, starts?.most ?? maxBatch);
  const batch: Batch<T> = [first];
  let { rows, bytes } = first;
  for (const entry of others) {
    if (rows >= maxBatch || batch.length >= maxTasks) break;
    if (entry === first || entry.key !== first.key) continue;
    if (rows + entry.rows > maxBatch || bytes + entry.bytes > BATCH_BYTES_MAX) return { batch, full: true };
    batch.push(entry);
    rows += entry.rows;
    bytes += entry.bytes;
  }
  return { batch, full: rows >= maxBatch || batch.length >= maxTasks };
}
