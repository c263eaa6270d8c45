import type { Log } from '../log.ts';
import type { TaskEvent } from '../task.ts';
import type { TaskListener } from './store.ts';

/** How often a listener is told to read again although nothing seems wrong: what bounds the delay of an event that was lost. */
const REREAD_MS = 10_000;

/** Listeners told to read again per millisecond after a reconnect: 10,000 of them are through in a second. */
const REREADS_PER_MS = 10;

/** Who waits for which task in this process. */
export interface Listeners {
  watch(id: string, listener: TaskListener): () => void;
  /** Whether anybody waits for it. */
  has(id: unknown): boolean;
  /** Listeners registered at present. */
  count(): number;
  dispatch(event: TaskEvent): void;
  /** Tells every listener, soon, that it may have missed something. */
  rereadAll(): void;
  close(): void;
}

interface Entry {
  listener: TaskListener;
  /** Of its next `'reread'`: one timer each, with jitter, so that the readings of many listeners are spread by themselves. */
  timer?: NodeJS.Timeout;
}

export function createListeners(log: Log): Listeners {
  const entriesOf = new Map<unknown, Set<Entry>>();
  let count = 0;

  function tell(entry: Entry, event: TaskEvent | 'reread'): void {
    try {
      entry.listener(event);
    } catch (err) {
      // A listener that throws is a bug of its own; neither the change nor the other listeners may suffer for it.
      log.error({ err }, 'task listener threw');
    }
  }

  function armReread(entry: Entry, delayMs: number): void {
    clearTimeout(entry.timer);
    entry.timer = setTimeout(() => {
      armReread(entry, jittered(REREAD_MS));
      tell(entry, 'reread');
    }, delayMs).unref();
  }

  return {
    watch(id, listener) {
      const entry: Entry = { listener };
      const entries = entriesOf.get(id) ?? new Set();
      entriesOf.set(id, entries.add(entry));
      count += 1;
      armReread(entry, jittered(REREAD_MS));
      return () => {
        if (!entries.delete(entry)) return;
        clearTimeout(entry.timer);
        count -= 1;
        if (entries.size === 0 && entriesOf.get(id) === entries) entriesOf.delete(id);
      };
    },
    has: (id) => entriesOf.has(id),
    count: () => count,
    dispatch(event) {
      // A copy: listeners end themselves while they are told.
      for (const entry of [...(entriesOf.get(event.id) ?? [])]) tell(entry, event);
    },
    rereadAll() {
      const spreadMs = count / REREADS_PER_MS;
      for (const entries of entriesOf.values()) {
        for (const entry of entries) armReread(entry, Math.random() * spreadMs);
      }
    },
    close() {
      for (const entries of entriesOf.values()) {
        for (const entry of entries) clearTimeout(entry.timer);
        entries.clear();
      }
      entriesOf.clear();
      count = 0;
    },
  };
}

/** Of some hundred lengths: Node keeps the timers of each length in a list, and a heap of lists, whose upkeep was a tenth of a worker's time. */
function jittered(ms: number): number {
  return ms * (0.75 + Math.floor(Math.random() * 500) / 1_000);
}
