import { byteLength, type Tensor } from '../src/tensor.ts';
import { batchKey, rowsOf } from './batch-tensors.ts';

/** The most bytes of input that are joined for one run; larger inputs make smaller batches, the largest run alone. */
export const BATCH_BYTES_MAX = 64 * 1024 * 1024;

/** What a model allows. */
export interface BatchLimits {
  /** Whether tasks can share a run at all. */
  batched: boolean;
  /** The most rows, and the most tasks, of one run; a task with more rows than that runs alone. */
  maxBatch: number;
  /** How long a batch that is not full may wait for more. */
  maxDelayMs: number;
  /** The most batches of the model that run at once. */
  concurrency: number;
}

/** A task that waits for its run. */
export interface BatchItem<M> {
  model: M;
  inputs: readonly Tensor[];
  /** It shares its run with nobody: it may be what made an earlier run fail. */
  alone: boolean;
  /** Milliseconds on any clock, the same for all. The oldest goes first. */
  arrivedAt: number;
}

export interface Batcher<M, T extends BatchItem<M>> {
  add(item: T): void;
  /** Takes an item back; `false` if it does not wait here any more. */
  remove(item: T): boolean;
  /** The batch that is to run now, which then counts against its model's concurrency until `ended`; `undefined` if none is due. */
  take(now: number): { model: M; items: T[] } | undefined;
  /** A batch of this model no longer runs. */
  ended(model: M): void;
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

/** The tasks of one model, oldest first. */
interface Line<T> {
  limits: BatchLimits;
  running: number;
  entries: Entry<T>[];
}

/**
 * Gathers tasks while the inference processes are busy, and hands out all that fit in a run once one is free. Between
 * models, the one whose oldest task has waited longest goes first.
 */
export function createBatcher<M, T extends BatchItem<M>>(limitsOf: (model: M) => BatchLimits): Batcher<M, T> {
  const lines = new Map<M, Line<T>>();
  const lineOf = (model: M): Line<T> => {
    const line = lines.get(model) ?? { limits: limitsOf(model), running: 0, entries: [] };
    lines.set(model, line);
    return line;
  };
  const mayRun = ({ running, limits }: Line<T>) => running < limits.concurrency;

  return {
    add(item) {
      const { entries, limits } = lineOf(item.model);
      // One that comes back after a failed batch is older than those that wait.
      const place = entries.findLastIndex((entry) => entry.item.arrivedAt <= item.arrivedAt) + 1;
      entries.splice(place, 0, entryOf(item, limits));
    },
    remove(item) {
      const { entries } = lineOf(item.model);
      const place = entries.findIndex((entry) => entry.item === item);
      return place >= 0 && entries.splice(place, 1).length === 1;
    },
    take(now) {
      let oldest: { line: Line<T>; batch: Batch<T> } | undefined;
      for (const line of lines.values()) {
        const batch = mayRun(line) ? dueBatch(line, now) : undefined;
        if (batch && (!oldest || batch[0].item.arrivedAt < oldest.batch[0].item.arrivedAt)) oldest = { line, batch };
      }
      if (!oldest) return undefined;
      const { line, batch } = oldest;
      const taken = new Set(batch);
      line.entries = line.entries.filter((entry) => !taken.has(entry));
      line.running += 1;
      return { model: batch[0].item.model, items: batch.map(({ item }) => item) };
    },
    ended(model) {
      lineOf(model).running -= 1;
    },
    dueAt() {
      const due = [...lines.values()].filter(mayRun).flatMap(({ entries: [first], limits }) => {
        return first ? first.item.arrivedAt + limits.maxDelayMs : [];
      });
      return due.length > 0 ? Math.min(...due) : undefined;
    },
    waiting: () => [...lines.values()].reduce((sum, { entries }) => sum + entries.length, 0),
  };
}

type Batch<T> = [Entry<T>, ...Entry<T>[]];

function entryOf<M, T extends BatchItem<M>>(item: T, { batched, maxBatch }: BatchLimits): Entry<T> {
  const rows = rowsOf(item.inputs);
  const shares = batched && !item.alone && rows !== undefined && rows <= maxBatch;
  const bytes = item.inputs.reduce((sum, input) => sum + byteLength(input), 0);
  return { item, rows: rows ?? 0, bytes, key: shares ? batchKey(item.inputs) : undefined };
}

/** The batch with the oldest task that need not wait for more. */
function dueBatch<M, T extends BatchItem<M>>({ entries, limits }: Line<T>, now: number): Batch<T> | undefined {
  const held = new Set<string>();
  for (const [i, oldest] of entries.entries()) {
    if (oldest.key === undefined) return [oldest];
    if (held.has(oldest.key)) continue;
    const { batch, full } = gather(oldest, entries.slice(i + 1), limits);
    if (full || now - oldest.item.arrivedAt >= limits.maxDelayMs) return batch;
    held.add(oldest.key);
  }
  return undefined;
}

/** What can share a run with `oldest`, in order, up to the first that does not fit. */
function gather<T>(oldest: Entry<T>, later: Entry<T>[], { maxBatch }: BatchLimits): { batch: Batch<T>; full: boolean } {
  const batch: Batch<T> = [oldest];
  let { rows, bytes } = oldest;
  for (const entry of later) {
    if (rows >= maxBatch || batch.length >= maxBatch) break;
    if (entry.key !== oldest.key) continue;
    if (rows + entry.rows > maxBatch || bytes + entry.bytes > BATCH_BYTES_MAX) return { batch, full: true };
    batch.push(entry);
    rows += entry.rows;
    bytes += entry.bytes;
  }
  return { batch, full: rows >= maxBatch || batch.length >= maxBatch };
}
