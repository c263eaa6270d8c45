import { AppError, ifUnavailable } from '../../errors.ts';
import type { Log } from '../../process/log.ts';
import type { Deadlines } from '../../store/deadlines.ts';
import type { TaskStore } from '../../store/store.ts';
import type { Metrics } from '../../telemetry/metrics.ts';

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
      if (ids.length > 0) await expireAll(ids);
      full = ids.length === SWEPT_MAX;
    }
  }

  /** One by one where something is wrong with them, so that a record that nobody can read keeps no other from its end. */
  async function expireAll(ids: readonly string[]): Promise<void> {
    try {
      await expire(ids);
    } catch (error) {
      if (error instanceof AppError) throw error;
      for (const id of ids) {
        await expire([id]).catch(async (err: unknown) => {
          if (err instanceof AppError) throw err;
          log.error({ taskId: id, err }, 'deadline given up: its record cannot be read');
          await deadlines.remove([id]);
        });
      }
    }
  }

  async function expire(ids: readonly string[]): Promise<void> {
    const at = Date.now();
    const tasks = await store.heads(ids);
    // The record decides: a task that was submitted again by its key, after the store had lost it, has another deadline.
    const due = tasks.filter((task) => task?.expiresAt !== undefined && task.expiresAt <= at);
    await Promise.all(
      due.map(async (task) => {
        if (!task || (await store.transition(task.id, { to: 'EXPIRED', at })) === undefined) return;
        metrics.ended({ model: task.model.name, state: 'EXPIRED', totalMs: at - task.submittedAt });
      }),
    );
    // Also those that refused: they have begun or ended, or the store has lost them and a worker will look at the message.
    // Afterwards: if the process dies in between, the next sweep does it.
    await deadlines.remove(ids);
    const later = tasks.flatMap((task) =>
      task?.expiresAt !== undefined && task.expiresAt > at ? [{ id: task.id, expiresAt: task.expiresAt }] : [],
    );
    await deadlines.add(later);
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
