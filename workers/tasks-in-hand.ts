import type { Delivery, Verdict } from '../src/broker/broker.ts';
import type { Log } from '../src/log.ts';
import { abandon, type HeldTask } from './held-task.ts';

/**
 * The tasks that a worker holds, by id. After a lost connection RabbitMQ delivers what is unacknowledged again, also to the
 * worker that is still running it, which takes the new delivery for the old one: a second claim would be an attempt, and a
 * second run in vain.
 */
export interface TasksInHand {
  /** Gives a task that is held its new delivery; `undefined` if none of this id is. */
  adopt(id: string, delivery: Delivery): HeldTask | undefined;
  /** Holds the task until its verdict, which goes to the newest delivery alone. */
  verdictOf(task: HeldTask, delivery: Delivery): Promise<Verdict>;
}

/** `remove` takes a task back that has not begun; `false` if it has. */
export function createTasksInHand(options: { remove: (task: HeldTask) => boolean; log: Log }): TasksInHand {
  const { remove, log } = options;
  const held = new Map<string, HeldTask>();
  return {
    adopt(id, delivery) {
      const task = held.get(id);
      if (!task || task.isAbandoned) return undefined;
      log.debug({ taskId: id, attempt: task.attempt }, 'task in hand delivered again');
      return Object.assign(task, { delivery });
    },
    async verdictOf(task, delivery) {
      const { id } = task.submission;
      const { signal } = delivery;
      held.set(id, task);
      // Once claimed it is finished and stored: its redelivery is then adopted here, or elsewhere refused as terminal.
      const onAbort = () => {
        const isWaiting = task.delivery === delivery && task.attempt === 0 && remove(task);
        if (isWaiting) abandon(task, signal.reason);
      };
      signal.addEventListener('abort', onAbort, { once: true });
      try {
        const verdict = await task.verdict.promise;
        // Acked, an older delivery is one of a message that came twice; or its channel is gone, and RabbitMQ hears nothing.
        return task.delivery === delivery ? verdict : 'ack';
      } catch (error) {
        if (task.delivery === delivery) throw error;
        return 'ack';
      } finally {
        signal.removeEventListener('abort', onAbort);
        if (held.get(id) === task) held.delete(id);
      }
    },
  };
}
