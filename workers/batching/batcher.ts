import { type BatchItem, type BatchLimits, dueAtOf, entryOf, type Line, type Moment } from './batch-line.ts';
import { NextBatch } from './next-batch.ts';
import type { RunCost, Standing } from './owner-costs.ts';
import { beyond } from './owner-order.ts';
import { RunningBatches } from './running-batches.ts';

export interface TakenBatch<M, T> {
  model: M;
  items: T[];
  /** Of the owner of its first task, as it began. */
  standing: Standing;
  /** To be told how many of its tasks do not begin after all: others may in their place. */
  notBegun(count: number): void;
}

/**
 * Gathers tasks while the inference processes are busy, and hands out all that fit in a run once one is free. A run begins with
 * the oldest task, of whatever model, of the lane whose turn it is; it is filled up from that lane, then from the other. Tasks of owners
 * who used much more time than others go behind theirs, whatever the lane.
 */
export class Batcher<M, T extends BatchItem<M>> {
  readonly #limitsOf: (model: M) => BatchLimits;
  readonly #suspectsMax: number;
  readonly #lines = new Map<M, Line<T>>();
  readonly #running = new RunningBatches<M>();
  readonly #nextBatch = new NextBatch<M, T>();
  /** Batches of suspect owners that run. */
  #suspects = 0;
  /** When `take` was last asked. */
  #askedAt = 0;

  /** @param slots of which suspect owners leave one to others, where there are several */
  constructor(limitsOf: (model: M) => BatchLimits, slots = Number.POSITIVE_INFINITY) {
    this.#limitsOf = limitsOf;
    this.#suspectsMax = Math.max(1, slots - 1);
  }

  add(item: T): void {
    const { entries, limits } = this.#lineOf(item.model);
    const lane = entries[item.lane];
    // One that comes back after a failed batch is older than those that wait.
    const place = lane.findLastIndex((entry) => entry.item.arrivedAt <= item.arrivedAt) + 1;
    lane.splice(place, 0, entryOf(item, limits));
  }

  /** Takes an item back; `false` if it does not wait here any more. */
  remove(item: T): boolean {
    const lane = this.#lineOf(item.model).entries[item.lane];
    const place = lane.findIndex((entry) => entry.item === item);
    return place >= 0 && lane.splice(place, 1).length === 1;
  }

  /** The batch that is to run now, which then counts against its model's concurrency until `ended`; `undefined` if none is due. */
  take(now: number): TakenBatch<M, T> | undefined {
    this.#askedAt = now;
    const { line, batch } = this.#nextBatch.choose(this.#runnable(), this.#moment()) ?? {};
    if (!line || !batch) return undefined;
    const taken = new Set(batch);
    const { high, normal } = line.entries;
    line.entries = {
      high: high.filter((entry) => !taken.has(entry)),
      normal: normal.filter((entry) => !taken.has(entry)),
    };
    const { model, owner } = batch[0].item;
    this.#running.add(model, line.limits, 1);
    const standing = line.limits.costs?.standingOf(owner, now) ?? 'ordinary';
    if (standing !== 'ordinary') line.hogs += 1;
    if (standing === 'suspect') this.#suspects += 1;
    const notBegun = line.limits.starts?.take(batch.length, now) ?? (() => undefined);
    return { model, items: batch.map(({ item }) => item), standing, notBegun };
  }

  /** A batch no longer runs, which cost so much, where it began at all. */
  ended({ model, standing }: Pick<TakenBatch<M, T>, 'model' | 'standing'>, cost?: RunCost): void {
    const line = this.#lineOf(model);
    this.#running.add(model, line.limits, -1);
    if (standing !== 'ordinary') line.hogs -= 1;
    if (standing === 'suspect') this.#suspects -= 1;
    if (cost && cost.owners.length > 0) line.limits.costs?.charge(cost);
    // A model that was replaced does not come again.
    if (line.hogs === 0 && lengthOf(line) === 0) this.#lines.delete(model);
  }

  /** The limits of models are not what they were: asks for them again. */
  relimit(): void {
    for (const [model, line] of this.#lines) line.limits = this.#limitsOf(model);
  }

  /** Whether any owner's tasks of the model may keep slots from others'. */
  hasHogs(model: M): boolean {
    return this.#lines.get(model)?.limits.costs?.hasHogs ?? false;
  }

  /** Whether those of this one's owner do. */
  isHog({ model, owner }: T, at: number): boolean {
    return (this.#lines.get(model)?.limits.costs?.standingOf(owner, at) ?? 'ordinary') !== 'ordinary';
  }

  /**
   * Takes back tasks of owners whose tasks keep slots from others', as others' may wait behind them in the queue:
   * beyond those that can run at once, or all. Those that `mayGo` refuses stay.
   */
  surplus(model: M, at: number, { keepsRunning, mayGo }: { keepsRunning: boolean; mayGo: (item: T) => boolean }): T[] {
    const line = this.#lines.get(model);
    const { costs, concurrency } = line?.limits ?? {};
    if (!line || !costs?.hasHogs || concurrency === undefined) return [];
    const all = [...line.entries.high, ...line.entries.normal];
    const spare = keepsRunning ? concurrency - line.hogs : 0;
    const gone = beyond(all, costs, { at, spare })
      .map(({ item }) => item)
      .filter(mayGo);
    for (const item of gone) this.remove(item);
    return gone;
  }

  /** When the next of the batches that `take` holds back falls due; `undefined` if it holds none that could run. */
  dueAt(): number | undefined {
    const moment = this.#moment();
    const due = this.#runnable().flatMap((line) => dueAtOf(line, moment) ?? []);
    return due.length > 0 ? Math.min(...due) : undefined;
  }

  waiting(): number {
    return [...this.#lines.values()].reduce((sum, line) => sum + lengthOf(line), 0);
  }

  #lineOf(model: M): Line<T> {
    const known = this.#lines.get(model);
    if (known) return known;
    const line = { hogs: 0, entries: { high: [], normal: [] }, limits: this.#limitsOf(model) };
    this.#lines.set(model, line);
    return line;
  }

  #runnable(): Line<T>[] {
    return [...this.#lines].flatMap(([model, line]) => (this.#running.mayRun(model, line.limits) ? line : []));
  }

  #moment(): Moment {
    return { at: this.#askedAt, maySuspects: this.#suspects < this.#suspectsMax };
  }
}

function lengthOf({ entries }: Line<unknown>): number {
  return entries.high.length + entries.normal.length;
}
