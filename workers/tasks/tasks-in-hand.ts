import { createAbortListeners } from '../../src/async/abort-listeners.ts';
import { createListeners } from '../../src/async/listeners.ts';
import type { Delivery, Verdict } from '../../src/broker/broker.ts';
import { StoreUnavailable } from '../../src/errors.ts';
import type { Log } from '../../src/process/log.ts';
import type { TaskStore } from '../../src/store/store.ts';
import { isTerminal, type TaskState } from '../../src/task/task.ts';
import type { HeldTask } from './held-task.ts';

/**
 * The tasks that a worker holds, by id. After a lost connection RabbitMQ delivers what is unacknowledged again, also to the
 * worker that is still running it, which takes the new delivery for the old one: a second claim would be an attempt, and a
 * second run in vain. The same holds for a second message of a task.
 */
export interface TasksInHand {
  find(id: string): HeldTask | undefined;
  /** Gives a task that is held its new delivery. */
  adopt(task: HeldTask, delivery: Delivery): Promise<Verdict>;
  /** Holds a task until its verdict; for as long, whoever ends it elsewhere is heard, or found at the next look at its record. */
  hold(task: HeldTask): Promise<Verdict>;
  all(): HeldTask[];
  /** Resolves when none is left. */
  emptied(): Promise<void>;
  /** Calls `listener` with each task that is known to have ended elsewhere; returns the function that ends it. */
  onEnded(listener: (task: HeldTask) => void): () => void;
  /** The same with each unclaimed one whose delivery is the broker's again. */
  onLost(listener: (task: HeldTask) => void): () => void;
}

interface Holding {
  task: HeldTask;
  unwatch: () => void;
  /** Ends the wait for the end of its delivery's channel. */
  unlisten: () => void;
}

interface Options {
  store: Pick<TaskStore, 'watchStops' | 'heads'>;
  log: Log;
}

export function createTasksInHand(options: Options): TasksInHand {
  const { store, log } = options;
  const held = new Map<string, Holding>();
  const waiting: (() => void)[] = [];
  const onAbort = createAbortListeners();
  const ended = createListeners<[HeldTask]>();
  const lost = createListeners<[HeldTask]>();

  /** Hears when the present delivery of a task is the broker's again. */
  function listen(holding: Holding): void {
    const { task } = holding;
    holding.unlisten();
    // Once claimed it is finished and stored: its redelivery is then adopted here, or elsewhere refused as terminal.
    holding.unlisten = onAbort(task.delivery.signal, () => {
      if (task.attempt === 0) lost.call(task);
    });
  }

  function heard(task: HeldTask, state: TaskState): void {
    // Its own failure is published as well, perhaps before the store's answer; by then it neither waits nor runs.
    if (!isTerminal(state) || held.get(task.submission.id)?.task !== task) return;
    log.debug({ taskId: task.submission.id, state, attempt: task.attempt }, 'task in hand has ended');
    task.noteEnd();
    ended.call(task);
  }

  function forget({ task, unwatch, unlisten }: Holding): void {
    unwatch();
    unlisten();
    held.delete(task.submission.id);
    if (held.size === 0) for (const resolve of waiting.splice(0)) resolve();
  }

  return {
    find: (id) => held.get(id)?.task,
    async adopt(task, delivery) {
      // One that was lost while its inputs were fetched must not have the one acked that came in its place.
      if (delivery.signal.aborted) return 'requeue';
      const { attempt, submission } = task;
      const { id } = submission;
      log.debug({ taskId: id, attempt, redelivered: delivery.redelivered }, 'task in hand delivered again');
      task.adopt(delivery);
      const holding = held.get(id);
      if (holding) listen(holding);
      return task.verdict();
    },
    hold(task) {
      const { id } = task.submission;
      const unwatch = store.watchStops(id, (event) => {
        if (event !== 'reread') heard(task, event.state);
        else void reread(task, heard, options);
      });
      const holding: Holding = { task, unwatch, unlisten: () => undefined };
      held.set(id, holding);
      task.onRelease(() => forget(holding));
      listen(holding);
      return task.verdict();
    },
    emptied: () => new Promise((resolve) => (held.size === 0 ? resolve() : waiting.push(resolve))),
    all: () => [...held.values()].map(({ task }) => task),
    onEnded: ended.add,
    onLost: lost.add,
  };
}

/** Does not reject. */
async function reread(
  task: HeldTask,
  heard: (task: HeldTask, state: TaskState) => void,
  { store, log }: Options,
): Promise<void> {
  const { id } = task.submission;
  try {
    const [head] = await store.heads([id]);
    if (head) heard(task, head.state);
  } catch (err) {
    // In an outage there is nothing to read, and another reading will follow.
    if (!(err instanceof StoreUnavailable)) log.error({ taskId: id, err }, 'task in hand not read');
  }
}
