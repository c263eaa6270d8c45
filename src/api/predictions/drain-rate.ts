/** What a look at a queue found. */
export interface Reading {
  /** Tasks that this process had put into the queue by then, since its start. */
  entered: number;
  /** Tasks that waited. */
  waiting: number;
  /** Milliseconds on any steady clock. */
  at: number;
}

/** Readings at which tasks were found to have left: enough for a mean, and recent enough to follow a worker that comes or goes. */
const LEAVES_MAX = 32;

/** Fewer say too little: what is on its way into the queue at a reading may look as if it had left by the next one. */
const LEAVES_MIN = 3;

/** Between readings that are further apart, a queue may have been empty for a while. */
const APART_MS = 3_000;

/** When tasks had left, and how many of all by then; but for a constant, since others fill the queue too. */
interface Leave {
  at: number;
  left: number;
}

/** How fast a queue drains, from readings of how much waits in it. */
export interface DrainRate {
  read(reading: Reading): void;
  /** Tasks a millisecond, over the latest while in which some waited all the time; `undefined` while nothing is known. */
  at(now: number): number | undefined;
}

/**
 * Measures from one leave to a later one, never from reading to reading: a queue is read every quarter of a second, and a task may leave it every
 * five, or 64 at once every two. What other processes put in meanwhile is taken off, so the rate is that at which room comes.
 */
export function createDrainRate(): DrainRate {
  let first: Leave | undefined;
  let leaves: Leave[] = [];
  let before: Reading | undefined;
  /** Of the time before the queue was empty. */
  let remembered: number | undefined;

  function restart(from: Leave | undefined, now: number): void {
    remembered = between(leaves, now) ?? leastRate(first, leaves) ?? remembered;
    first = from;
    leaves = [];
  }

  return {
    read(reading) {
      const { entered, waiting, at } = reading;
      const left = entered - waiting;
      const isLater = before !== undefined && at > before.at;
      const leftSince = before ? left - (before.entered - before.waiting) : 0;
      const wasEmpty = before !== undefined && leftSince >= before.waiting && at - before.at > APART_MS;
      const latest = leaves.at(-1) ?? first;
      // It drained as fast as it did up to the last look at it: the pause since says nothing.
      if (!latest || wasEmpty) restart({ at, left }, before?.at ?? at);
      else if (isLater && left > latest.left) leaves = [...leaves, { at, left }].slice(-LEAVES_MAX);
      // Nothing waits, so from here on the tasks come no faster than they are submitted.
      if (waiting === 0) restart(undefined, at);
      before = reading;
    },
    at: (now) => between(leaves, now) ?? remembered,
  };
}

/** From the first leave to the last; where the next one is overdue, the time that it is late counts as well. */
function between(leaves: readonly Leave[], now: number): number | undefined {
  const [first] = leaves;
  const last = leaves.at(-1);
  if (!first || !last || leaves.length < LEAVES_MIN) return undefined;
  const usual = (last.at - first.at) / (leaves.length - 1);
  const late = Math.max(0, now - last.at - usual);
  return (last.left - first.left) / (last.at - first.at + late);
}

/** A single leave since the queue was filled: it drains at least as fast. */
function leastRate(first: Leave | undefined, [leave]: readonly Leave[]): number | undefined {
  return first && leave && leave.at > first.at ? (leave.left - first.left) / (leave.at - first.at) : undefined;
}
