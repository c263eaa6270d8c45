/**
 * How an owner's tasks of a model stand beside others': `slow` ones take many times as long as those of others do; over a `suspect` one's
 * a process was lost lately, and the next may end one as well.
 */
export type Standing = 'ordinary' | 'slow' | 'suspect';

/** What a run cost: its tasks' owners, one for each task, are charged equal parts of it. */
export interface RunCost {
  owners: readonly string[];
  /** How long it kept its slot. */
  ms: number;
  /** Whether its process was lost over it. */
  isLethal: boolean;
  /** Milliseconds on the batcher's clock. */
  at: number;
}

/** In this time, what was charged counts half: the order follows the last minute or so. */
const USED_HALF_LIFE_MS = 15_000;
/** The same of the time that a task takes, which is compared between owners: one who comes every few minutes is remembered. */
const PACE_HALF_LIFE_MS = 10 * 60_000;
/** Owners who used less than this lately stand alike. */
const LITTLE_MS = 1_000;
/** Beside its time, a lost process costs the start of another, which loads its models again. */
const LOSS_MS = 2_000;
const SUSPECT_MS = 30_000;
/** A shared run took unusually long: after this time owners who have not shown to be slow share runs again. */
const APART_MS = 30_000;
/** An owner's tasks keep slots from others' where they take this many times as long, and at least so long. */
const HOG_FACTOR = 8;
const HOG_MS = 100;
/** What the newest task counts in the mean of an owner's latest. */
const NEWEST = 0.3;
/** Less is left of what other owners ran than says anything. */
const TASKS_MIN = 0.01;
/** The one that came first is forgotten for another. */
const OWNERS_MAX = 1_000;

interface Cost {
  usedMs: number;
  /** Their quotient is what a task takes. */
  paceMs: number;
  tasks: number;
  at: number;
  /** What its latest tasks took, in the mean: whoever sent many quick ones may send long ones next. */
  latestMs: number;
  suspectUntil: number;
}

/**
 * What the runs of one model have cost each owner lately, as this worker saw it: those who cost more go behind the others. Costs
 * fade, so that an owner whose tasks are ordinary again stands like the others again.
 */
export class OwnerCosts {
  readonly #owners = new Map<string, Cost>();
  /** Of all owners together. */
  readonly #all = newCost();
  /** Until then owners' tasks run apart from each other's, so that it shows whose take long. */
  #apartUntil = 0;
  /** Owners who did not stand as ordinary when they were last looked at. */
  readonly #hogs = new Set<string>();

  charge({ owners, ms, isLethal, at }: RunCost): void {
    const isShared = owners.some((owner) => owner !== owners[0]);
    const isUnclear = isShared && this.#isUnusual(ms, owners.length);
    if (isUnclear) this.#apartUntil = at + APART_MS;
    const eachMs = (ms + (isLethal ? LOSS_MS : 0)) / owners.length;
    // Of a batch of several owners nobody knows by whose task it was lost: they run alone, and then one is.
    const each = { ms: eachMs, at, isUnclear, isKnown: isLethal && !isShared };
    for (const owner of owners) {
      const cost = this.#costOf(owner);
      addTask(cost, each);
      addTask(this.#all, each);
      if (at < cost.suspectUntil || this.#isSlow(cost)) this.#hogs.add(owner);
    }
  }

  /** Whether there is nothing to put into another order than that of arrival. */
  areAlike(at: number): boolean {
    return at >= this.#all.suspectUntil && (this.#owners.size < 2 || fade(this.#all, at).usedMs < LITTLE_MS);
  }

  /** How much time an owner's tasks took lately: 0 for little, one more for each fourfold. */
  levelOf(owner: string, at: number): number {
    const cost = this.#owners.get(owner);
    const used = cost ? fade(cost, at).usedMs : 0;
    return used < LITTLE_MS ? 0 : 1 + Math.floor(Math.log2(used / LITTLE_MS) / 2);
  }

  /** Whether tasks of two owners share no run: one of them may end it, or make it take far longer, or it is not known which of them does. */
  areApart(one: string, other: string, at: number): boolean {
    if (one === other || (at >= this.#apartUntil && !this.hasHogs)) return false;
    return (
      at < this.#apartUntil || this.standingOf(one, at) !== 'ordinary' || this.standingOf(other, at) !== 'ordinary'
    );
  }

  /** Whether any owner may stand otherwise than ordinary. */
  get hasHogs(): boolean {
    return this.#hogs.size > 0;
  }

  standingOf(owner: string, at: number): Standing {
    const cost = this.#hogs.has(owner) ? this.#owners.get(owner) : undefined;
    if (!cost) return 'ordinary';
    if (at < cost.suspectUntil) return 'suspect';
    if (this.#isSlow(cost)) return 'slow';
    this.#hogs.delete(owner);
    return 'ordinary';
  }

  #isSlow(cost: Cost): boolean {
    const { paceMs, tasks, latestMs } = fade(cost, this.#all.at);
    const others = { ms: this.#all.paceMs - paceMs, tasks: this.#all.tasks - tasks };
    if (others.tasks < TASKS_MIN) return false;
    return latestMs > Math.max(HOG_MS, (HOG_FACTOR * others.ms) / others.tasks);
  }

  /** Whether a run took far longer, for each of its tasks, than runs of the model did. */
  #isUnusual(ms: number, tasks: number): boolean {
    const { paceMs, tasks: before } = this.#all;
    return before >= TASKS_MIN && ms >= HOG_MS && ms / tasks > (HOG_FACTOR * paceMs) / before;
  }

  #costOf(owner: string): Cost {
    const known = this.#owners.get(owner);
    if (known) return known;
    const [first] = this.#owners.keys();
    if (first !== undefined && this.#owners.size >= OWNERS_MAX) this.#forget(first);
    const cost = newCost();
    this.#owners.set(owner, cost);
    return cost;
  }

  /** What it cost stays in the sum until it fades. */
  #forget(owner: string): void {
    this.#owners.delete(owner);
    this.#hogs.delete(owner);
  }
}

function newCost(): Cost {
  return { usedMs: 0, paceMs: 0, tasks: 0, at: 0, latestMs: 0, suspectUntil: 0 };
}

function addTask(cost: Cost, task: { ms: number; at: number; isUnclear: boolean; isKnown: boolean }): void {
  const { ms, at, isUnclear, isKnown } = task;
  fade(cost, at);
  cost.usedMs += ms;
  cost.paceMs += ms;
  cost.tasks += 1;
  if (!isUnclear) cost.latestMs += NEWEST * (ms - cost.latestMs);
  if (isKnown) cost.suspectUntil = at + SUSPECT_MS;
}

function fade(cost: Cost, at: number): Cost {
  const ms = at - cost.at;
  if (ms <= 0) return cost;
  const kept = 2 ** (-ms / PACE_HALF_LIFE_MS);
  cost.usedMs *= 2 ** (-ms / USED_HALF_LIFE_MS);
  cost.paceMs *= kept;
  cost.tasks *= kept;
  cost.at = at;
  return cost;
}
