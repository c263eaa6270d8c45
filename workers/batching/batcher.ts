import type { Lane } from '../../src/broker/topology.ts';
import { byteLength, type Tensor } from '../../src/tensor/tensor.ts';
import { batchKey, rowsOf } from './batch-tensors.ts';
import { type Batch, type Entry, gather } from './joined-tasks.ts';
import type { OwnerCosts, RunCost, Standing } from './owner-costs.ts';
import { beyond, inOrder } from './owner-order.ts';
import { type Concurrency, RunningBatches } from './running-batches.ts';
import type { StartRate } from './start-rate.ts';

/** While both lanes wait, one run in so many begins with the oldest task of the normal one: high overtakes, and starves nobody. */
export const NORMAL_SHARE = 4;

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

export interface TakenBatch<M, T> {
  model: M;
  items: T[];
  /** Of the owner of its first task, as it began. */
  standing: Standing;
  /** To be told how many of its tasks do not begin after all: others may in their place. */
  notBegun(count: number): void;
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

export interface Batcher<M, T extends BatchItem<M>> {
  add(item: T): void;
  /** Takes an item back; `false` if it does not wait here any more. */
  remove(item: T): boolean;
  /** The batch that is to run now, which then counts against its model's concurrency until `ended`; `undefined` if none is due. */
  take(now: number): TakenBatch<M, T> | undefined;
  /** A batch no longer runs, which cost so much, where it began at all. */
  ended(batch: Pick<TakenBatch<M, T>, 'model' | 'standing'>, cost?: RunCost): void;
  /** The limits of models are not what they were: asks for them again. */
  relimit(): void;
  /** Whether any owner's tasks of the model may keep slots from others'. */
  hasHogs(model: M): boolean;
  /** Whether those of this one's owner do. */
  isHog(item: T, at: number): boolean;
  /**
   * Takes back tasks of owners whose tasks keep slots from others', as others' may wait behind them in the queue:
   * beyond those that can run at once, or all. Those that `mayGo` refuses stay.
   */
  surplus(model: M, at: number, of: { keepsRunning: boolean; mayGo: (item: T) => boolean }): T[];
  /** When the next of the batches that `take` holds back falls due; `undefined` if it holds none that could run. */
  dueAt(): number | undefined;
  waiting(): number;
}

/** The tasks of one model: of each lane, the oldest first. */
interface Line<T> {
  limits: BatchLimits;
  /** Of the batches that run, those whose owner does not stand as ordinary. */
  hogs: number;
  entries: Record<Lane, Entry<T>[]>;
}

/** What could run next: the higher its level, the more its owner used lately. */
interface Candidate<T> {
  line: Line<T>;
  batch: Batch<T>;
  level: number;
}

/**
 * Gathers tasks while the inference processes are busy, and hands out all that fit in a run once one is free. A run begins with
 * the oldest task, of whatever model, of the lane whose turn it is; it is filled up from that lane, then from the other. Tasks of owners
 * who used much more time than others go behind theirs, whatever the lane.
 * @param slots of which suspect owners leave one to others, where there are several
 */
export function createBatcher<M, T extends BatchItem<M>>(
  limitsOf: (model: M) => BatchLimits,
  slots = Number.POSITIVE_INFINITY,
): Batcher<M, T> {
  const lines = new Map<M, Line<T>>();
  const running = new RunningBatches<M>();
  /** Batches of suspect owners that run. */
  let suspects = 0;
  const maySuspects = () => suspects < Math.max(1, slots - 1);
  /** When `take` was last asked. */
  let askedAt = 0;
  /** Runs in a row that began with a high task while a normal one could have begun. */
  let passedOver = 0;

  const lineOf = (model: M): Line<T> => {
    const empty = { hogs: 0, entries: { high: [], normal: [] } };
    const line = lines.get(model) ?? { ...empty, limits: limitsOf(model) };
    lines.set(model, line);
    return line;
  };
  const mayRun = ([model, { limits }]: [M, Line<T>]) => running.mayRun(model, limits);

  function first(lane: Lane, now: number): Candidate<T> | undefined {
    let found: Candidate<T> | undefined;
    for (const [model, line] of lines) {
      const order = { at: now, maySuspects: maySuspects() };
      const batch = mayRun([model, line]) ? dueBatch(line, lane, order) : undefined;
      if (!batch) continue;
      const { owner, arrivedAt } = batch[0].item;
      const level = line.limits.costs?.levelOf(owner, now) ?? 0;
      const isBefore =
        !found || level < found.level || (level === found.level && arrivedAt < found.batch[0].item.arrivedAt);
      if (isBefore) found = { line, batch, level };
    }
    return found;
  }

  function next(now: number): Candidate<T> | undefined {
    const [high, normal] = [first('high', now), first('normal', now)];
    if (high && normal && high.level !== normal.level) return high.level < normal.level ? high : normal;
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
      askedAt = now;
      const { line, batch } = next(now) ?? {};
      if (!line || !batch) return undefined;
      const taken = new Set(batch);
      const { high, normal } = line.entries;
      line.entries = {
        high: high.filter((entry) => !taken.has(entry)),
        normal: normal.filter((entry) => !taken.has(entry)),
      };
      const { model, owner } = batch[0].item;
      running.add(model, line.limits, 1);
      const standing = line.limits.costs?.standingOf(owner, now) ?? 'ordinary';
      if (standing !== 'ordinary') line.hogs += 1;
      if (standing === 'suspect') suspects += 1;
      const notBegun = line.limits.starts?.take(batch.length, now) ?? (() => undefined);
      return { model, items: batch.map(({ item }) => item), standing, notBegun };
    },
    ended({ model, standing }, cost) {
      const line = lineOf(model);
      running.add(model, line.limits, -1);
      if (standing !== 'ordinary') line.hogs -= 1;
      if (standing === 'suspect') suspects -= 1;
      if (cost && cost.owners.length > 0) line.limits.costs?.charge(cost);
      // A model that was replaced does not come again.
      if (line.hogs === 0 && line.entries.high.length + line.entries.normal.length === 0) lines.delete(model);
    },
    relimit() {
      for (const [model, line] of lines) line.limits = limitsOf(model);
    },
    hasHogs: (model) => lines.get(model)?.limits.costs?.hasHogs ?? false,
    isHog: ({ model, owner }, at) =>
      (lines.get(model)?.limits.costs?.standingOf(owner, at) ?? 'ordinary') !== 'ordinary',
    surplus(model, at, { keepsRunning, mayGo }) {
      const line = lines.get(model);
      const { costs, concurrency } = line?.limits ?? {};
      if (!line || !costs?.hasHogs || concurrency === undefined) return [];
      const all = [...line.entries.high, ...line.entries.normal];
      const spare = keepsRunning ? concurrency - line.hogs : 0;
      const gone = beyond(all, costs, { at, spare })
        .map(({ item }) => item)
        .filter(mayGo);
      for (const item of gone) this.remove(item);
      return gone;
    },
    dueAt() {
      const order = { at: askedAt, maySuspects: maySuspects() };
      const due = [...lines].filter(mayRun).flatMap(([, { entries, limits }]) => {
        const nextAt = limits.starts?.nextAt();
        return [entries.high, entries.normal].flatMap((lane) => {
          const [first] = inOrder(lane, limits.costs, order);
          return first ? (nextAt ?? first.item.arrivedAt + limits.maxDelayMs) : [];
        });
      });
      return due.length > 0 ? Math.min(...due) : undefined;
    },
    waiting: () =>
      [...lines.values()].reduce((sum, { entries }) => sum + entries.high.length + entries.normal.length, 0),
  };
}

function entryOf<M, T extends BatchItem<M>>(item: T, { maxBatch }: BatchLimits): Entry<T> {
  const rows = rowsOf(item.inputs);
  const mayShare = !item.alone && rows !== undefined && rows <= maxBatch;
  const bytes = item.inputs.reduce((sum, input) => sum + byteLength(input), 0);
  return { item, rows: rows ?? 0, bytes, key: mayShare ? batchKey(item.inputs) : undefined };
}

/** The batch that begins with the oldest task of a lane that need not wait for more. */
function dueBatch<M, T extends BatchItem<M>>(
  { entries, limits }: Line<T>,
  lane: Lane,
  order: { at: number; maySuspects: boolean },
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
