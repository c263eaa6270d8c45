/** How often a listener is told to read again although nothing seems wrong: what bounds the delay of an event that was lost. */
const REREAD_MS = 10_000;

const TICK_MS = 50;

/**
 * Readings of a tick, which owners share: a thousand a second, ten thousand after a reconnect. An owner with more listeners than that
 * keeps up with has each of them told less often; the others do not notice.
 */
const TICK_REREADS = 50;
const TICK_REREADS_AFTER_RECONNECT = 500;

/** Tells listeners to read again now and then. One timer for all of them: one each was a tenth of a worker's time. */
export interface Rereads<Entry> {
  /** Returns the function that ends it. */
  add(owner: string, entry: Entry): () => void;
  /** Tells each soon. */
  all(): void;
  close(): void;
}

interface Account<Entry> {
  /** Those first that were not told for the longest time. */
  entries: Set<Entry>;
  /** Readings that are due, in parts of one. */
  due: number;
  /** Entries that may have missed something. */
  missed: number;
}

export function createRereads<Entry>(tell: (entry: Entry) => void): Rereads<Entry> {
  const accounts = new Map<string, Account<Entry>>();
  let timer: NodeJS.Timeout | undefined;

  function tick(): void {
    const shareOf = (all: number) => Math.max(1, Math.floor(all / accounts.size));
    const share = shareOf(TICK_REREADS);
    const shareAfterReconnect = shareOf(TICK_REREADS_AFTER_RECONNECT);
    for (const account of [...accounts.values()]) {
      account.due = Math.min(share, account.due + (account.entries.size * TICK_MS) / REREAD_MS);
      const missed = Math.min(account.missed, shareAfterReconnect);
      const count = Math.max(missed, Math.floor(account.due));
      account.missed -= missed;
      account.due = Math.max(0, account.due - count);
      if (count > 0) tellOldest(account, count);
    }
  }

  function tellOldest({ entries }: Account<Entry>, count: number): void {
    const oldest = entries.values().take(count).toArray();
    for (const entry of oldest) {
      // Behind all others. One that was told before may have ended it.
      if (entries.delete(entry)) entries.add(entry);
    }
    for (const entry of oldest) if (entries.has(entry)) tell(entry);
  }

  return {
    add(owner, entry) {
      const account = accounts.get(owner) ?? { entries: new Set(), due: 0, missed: 0 };
      accounts.set(owner, account);
      account.entries.add(entry);
      timer ??= setInterval(tick, TICK_MS).unref();
      return () => {
        account.entries.delete(entry);
        if (account.entries.size > 0 || accounts.get(owner) !== account) return;
        accounts.delete(owner);
        if (accounts.size > 0) return;
        clearInterval(timer);
        timer = undefined;
      };
    },
    all() {
      for (const account of accounts.values()) account.missed = account.entries.size;
    },
    close() {
      clearInterval(timer);
      timer = undefined;
      accounts.clear();
    },
  };
}
