/**
 * Requests that may begin in one round of the event loop: some ten milliseconds. An ordinary request takes several rounds, so a burst of thousands
 * that begin in one would keep it waiting for seconds.
 */
const ROUND_MAX = 64;

/** As long as fewer begin in this time, rounds are not looked at: an immediate for each has the event loop go round once more. */
const WINDOW_MS = 10;

/**
 * Rounds that may go by in which connections are accepted and nothing begins. Node accepts one connection a round, in the order in which they came: whoever comes
 * behind a burst would wait for all of it to be answered.
 */
const POSTPONED_MAX = 256;

/** Lets requests begin a few at a time; those that wait are taken owner by owner. */
export interface Starts {
  /** `undefined` where one of this owner may begin now; else resolves when it may. */
  enter(owner: string): Promise<void> | undefined;
  /** A connection was accepted. */
  accepted(): void;
}

export function createStarts({ roundMax = ROUND_MAX, postponedMax = POSTPONED_MAX } = {}): Starts {
  /** The owner first that waits for the longest time since its last one. */
  const waiting = new Map<string, (() => void)[]>();
  let begun = 0;
  let windowAt = 0;
  let postponed = 0;
  let isAccepting = false;
  let isScheduled = false;

  function schedule(): void {
    if (!isScheduled) setImmediate(endRound);
    isScheduled = true;
  }

  const mayBegin = () => begun < roundMax && (!isAccepting || postponed >= postponedMax);

  function endRound(): void {
    isScheduled = false;
    begun = 0;
    if (waiting.size > 0) {
      beginSome();
      schedule();
    }
    postponed = isAccepting && postponed < postponedMax ? postponed + 1 : 0;
    isAccepting = false;
  }

  function beginSome(): void {
    while (mayBegin()) {
      const next = waiting.entries().next().value;
      if (!next) return;
      const [owner, starts] = next;
      waiting.delete(owner);
      const start = starts.shift();
      if (starts.length > 0) waiting.set(owner, starts);
      begun += 1;
      start?.();
    }
  }

  return {
    enter(owner) {
      const now = performance.now();
      if (now - windowAt > WINDOW_MS) {
        windowAt = now;
        begun = 0;
      }
      if (mayBegin() && waiting.size === 0) {
        begun += 1;
        return undefined;
      }
      schedule();
      return new Promise((resolve) => {
        const starts = waiting.get(owner);
        if (starts) starts.push(resolve);
        else waiting.set(owner, [resolve]);
      });
    },
    accepted() {
      isAccepting = true;
      schedule();
    },
  };
}
