/**
 * A fair queue: runs at most `atOnce` pieces of work. The next piece belongs to the owner whose work has taken the least time (start-time fair
 * queueing); the pieces of one owner run in order. So many pieces of one owner, or a few long ones, delay other owners by no more than the pieces that
 * run already.
 */
export interface FairQueue {
  run<T>(owner: string, work: () => Promise<T>): Promise<T>;
  /** Pieces that wait. */
  waiting(): number;
}

interface Account {
  owner: string;
  /** Milliseconds that its work has taken, counted from where the clock stood when it came. */
  spentMs: number;
  running: number;
  readonly waiting: (() => void)[];
}

export function createFairQueue(atOnce: number): FairQueue {
  const accounts = new Map<string, Account>();
  let running = 0;
  /** Where owners begin that come new: idle time is no credit. */
  let clock = 0;

  function accountOf(owner: string): Account {
    const known = accounts.get(owner);
    if (known) return known;
    const account: Account = { owner, spentMs: clock, running: 0, waiting: [] };
    accounts.set(owner, account);
    return account;
  }

  /** Of owners with as little spent, the one with the fewest pieces in work; of those the one that came first. */
  function next(): Account | undefined {
    let best: Account | undefined;
    for (const account of accounts.values()) {
      if (account.waiting.length === 0) continue;
      const order = best ? account.spentMs - best.spentMs || account.running - best.running : -1;
      if (order < 0) best = account;
    }
    return best;
  }

  function begin(account: Account): void {
    account.running += 1;
    clock = Math.max(clock, account.spentMs);
  }

  function end(account: Account, tookMs: number): void {
    account.running -= 1;
    account.spentMs += tookMs;
    const following = next();
    if (!following) running -= 1;
    else {
      // Counted before it goes on, so that nobody who has just come gets in before it.
      begin(following);
      following.waiting.shift()?.();
    }
    for (const { owner, running: busy, waiting, spentMs } of [account, ...accounts.values()]) {
      if (busy === 0 && waiting.length === 0 && (spentMs <= clock || running === 0)) accounts.delete(owner);
    }
  }

  return {
    async run(owner, work) {
      const account = accountOf(owner);
      if (running < atOnce) {
        running += 1;
        begin(account);
      } else await new Promise<void>((resolve) => account.waiting.push(resolve));
      const startedAt = performance.now();
      try {
        return await work();
      } finally {
        end(account, performance.now() - startedAt);
      }
    },
    waiting: () => accounts.values().reduce((sum, { waiting }) => sum + waiting.length, 0),
  };
}
