/** How many tasks of a model may begin in a second. */
export interface StartRate {
  /** The most that may ever begin at once. */
  readonly most: number;
  /** How many may begin at this moment. */
  available(now: number): number;
  /** So many begin; returns what is to be called for those that do not after all. */
  take(count: number, now: number): (notBegun: number) => void;
  /** When the next one may begin; `undefined` if, as of the latest look at what is available, one may. */
  nextAt(): number | undefined;
  /** So many may begin in a second from now on; those that began a moment ago count. */
  limitTo(perSecond: number): void;
}

interface Taken {
  count: number;
  /** When they are given back. */
  until: number;
}

/**
 * A bucket of as many tokens as tasks may begin in a second. Each task takes one, which is back a second after it began: so no second
 * whatever has more of them, where a bucket that fills up steadily would let twice as many through after a pause. Of a rate that is no
 * whole number there is one token more, and all come back as much later.
 */
export function createStartRate(perSecond: number): StartRate {
  let most = 0;
  let backAfterMs = 0;
  const limitTo = (rate: number) => {
    most = Math.ceil(rate);
    backAfterMs = (most / rate) * 1_000;
  };
  limitTo(perSecond);
  // No more than there are tokens, or were before there were fewer.
  let taken: Taken[] = [];
  const free = () => most - taken.reduce((sum, { count }) => sum + count, 0);
  return {
    get most() {
      return most;
    },
    limitTo,
    available(now) {
      taken = taken.filter(({ count, until }) => count > 0 && until > now);
      return free();
    },
    take(count, now) {
      const entry = { count, until: now + backAfterMs };
      taken.push(entry);
      return (notBegun) => {
        entry.count -= notBegun;
      };
    },
    nextAt: () => (free() > 0 ? undefined : Math.min(...taken.map(({ until }) => until))),
  };
}

export type StartRates = (name: string, perSecond: number | undefined) => StartRate | undefined;

/** One rate for each name, so that the versions of a model share it, also while one is replaced by another; the latest limit counts for all. */
export function createStartRates(): StartRates {
  const rates = new Map<string, StartRate>();
  return (name, perSecond) => {
    if (perSecond === undefined) return undefined;
    const known = rates.get(name);
    known?.limitTo(perSecond);
    const rate = known ?? createStartRate(perSecond);
    rates.set(name, rate);
    return rate;
  };
}
