/**
 * Requests that may begin in one round of the event loop: some ten milliseconds. An ordinary request takes several rounds, so a burst of thousands
 * that begin in one would keep it waiting for seconds.
 */
const ROUND_MAX = 64;

/** Lets requests begin a few at a time; those that wait are taken owner by owner. */
export interface Starts {
  /** `undefined` where one of this owner may begin now; else resolves when it may. */
  enter(owner: string): Promise<void> | undefined;
}

export function createStarts(roundMax = ROUND_MAX): Starts {
  /** The owner first that waits for the longest time since its last one. */
  const waiting = new Map<string, (() => void)[]>();
  let begun = 0;

  function count(): void {
    if (begun === 0) setImmediate(nextRound);
    begun += 1;
  }

  function nextRound(): void {
    begun = 0;
    while (begun < roundMax) {
      const next = waiting.entries().next().value;
      if (!next) return;
      const [owner, starts] = next;
      waiting.delete(owner);
      const start = starts.shift();
      if (starts.length > 0) waiting.set(owner, starts);
      count();
      start?.();
    }
  }

  return {
    enter(owner) {
      if (begun < roundMax && waiting.size === 0) {
        count();
        return undefined;
      }
      return new Promise((resolve) => {
        const starts = waiting.get(owner);
        if (starts) starts.push(resolve);
        else waiting.set(owner, [resolve]);
      });
    },
  };
}
