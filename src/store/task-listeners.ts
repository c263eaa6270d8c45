import type { Log } from '../process/log.ts';
import { isStop, type TaskEvent } from '../task/task.ts';
import { createRereads } from './rereads.ts';
import type { TaskListener, TaskStore } from './store.ts';

/** Who waits for which task in this process. */
export interface TaskListeners {
  watch: TaskStore['watch'];
  watchStops: TaskStore['watchStops'];
  /** Whether anybody waits for it. */
  has(id: unknown): boolean;
  /** TaskListeners registered at present. */
  count(): number;
  dispatch(event: TaskEvent): void;
  /** Tells every listener, soon, that it may have missed something. */
  rereadAll(): void;
  close(): void;
}

interface Entry {
  listener: TaskListener;
}

/** Whose listeners those are that nobody else is named for. */
const OURS = '';

export function createTaskListeners(log: Log): TaskListeners {
  const entriesOf = new Map<unknown, Set<Entry>>();
  const rereads = createRereads<Entry>((entry) => tell(entry, 'reread'));
  let count = 0;

  function tell(entry: Entry, event: TaskEvent | 'reread'): void {
    try {
      entry.listener(event);
    } catch (err) {
      // A listener that throws is a bug of its own; neither the change nor the other listeners may suffer for it.
      log.error({ err }, 'task listener threw');
    }
  }

  function watch(id: string, listener: TaskListener, payer = OURS): () => void {
    const entry: Entry = { listener };
    const entries = entriesOf.get(id) ?? new Set();
    entriesOf.set(id, entries.add(entry));
    count += 1;
    const stopRereads = rereads.add(payer, entry);
    return () => {
      if (!entries.delete(entry)) return;
      stopRereads();
      count -= 1;
      if (entries.size === 0 && entriesOf.get(id) === entries) entriesOf.delete(id);
    };
  }

  return {
    watch,
    watchStops: (id, listener) =>
      watch(id, (event) => {
        if (event === 'reread' || isStop(event.state)) listener(event);
      }),
    has: (id) => entriesOf.has(id),
    count: () => count,
    dispatch(event) {
      // A copy: listeners end themselves while they are told.
      for (const entry of [...(entriesOf.get(event.id) ?? [])]) tell(entry, event);
    },
    rereadAll: rereads.all,
    close() {
      rereads.close();
      for (const entries of entriesOf.values()) entries.clear();
      entriesOf.clear();
      count = 0;
    },
  };
}
