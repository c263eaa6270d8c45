import { ifUnavailable } from './errors.ts';
import type { Log } from './log.ts';
import type { Deadlines } from './store/deadlines.ts';
import type { TaskStore } from './store/store.ts';
import type { Metrics } from './telemetry/metrics.ts';

/** How late a task may expire. */
const SWEEP_EVERY_MS = 250;

/** Tasks that are expired at a time: each step has to come within the store's time. */
const SWEPT_MAX = 100;

/** Ends tasks as EXPIRED whose deadline has passed. */
export interface Expirer {
  /** Resolves when nothing is under way any more. */
  close(): Promise<void>;
}

/**
 * Begins at once. It runs in every API: a task expires on time also where no worker is there, and where two find it
 * the record lets one of them end it.
 */
export function openExpirer(options: { store: TaskStore; deadlines: Deadlines; metrics: Metrics; log: Log }): Expirer {
  const { store, deadlines, metrics, log } = options;
  let isClosed = false;
  let timer: NodeJS.Timeout | undefined;
  let sweeping = Promise.resolve();

  async function sweep(): Promise<void> {
    for (let full = true; full && !isClosed; ) {
      const ids = await deadlines.due(Date.now(), SWEPT_MAX);
      const at = Date.now();
      const written = await Promise.all(ids.map((id) => store.transition(id, { to: 'EXPIRED', at })));
      // Also those that refused: they have begun or ended, or the store has lost them and a worker will look at the message.
      // Afterwards: whoever dies in between leaves them to the next sweep.
      if (ids.length > 0) await deadlines.remove(ids);
      await count(ids.filter((_, i) => written[i] !== undefined));
      full = ids.length === SWEPT_MAX;
    }
  }

  async function count(expired: readonly string[]): Promise<void> {
    for (const task of await store.get(expired)) {
      if (task) metrics.ended({ model: task.model.name, state: 'EXPIRED', totalMs: Date.now() - task.submittedAt });
    }
  }

  function next(): void {
    timer = setTimeout(() => {
      sweeping = sweep()
        // What is due stays due until the store is back.
        .catch(ifUnavailable(undefined))
        .catch((err: unknown) => log.error({ err }, 'deadlines not swept'))
        .finally(() => {
          if (!isClosed) next();
        });
    }, SWEEP_EVERY_MS).unref();
  }

  next();
  return {
    async close() {
      isClosed = true;
      clearTimeout(timer);
      await sweeping;
    },
  };
}
