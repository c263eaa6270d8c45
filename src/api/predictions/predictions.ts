import { AppError, Overloaded } from '../../errors.ts';
import { createFairQueue } from '../../ledger/fair-queue.ts';
import type { Ledger } from '../../ledger/ledger.ts';
import type { TaskStore } from '../../store/store.ts';
import { isTerminal, type Task } from '../../task/task.ts';
import type { Metrics } from '../../telemetry/metrics.ts';
import { taskAttributes } from '../../telemetry/tracing-attributes.ts';
import { createAdmission } from './admission.ts';
import { Completions, unknownTask } from './completions.ts';
import { createEnqueue, type EnqueueServices } from './enqueue.ts';
import { type Hold, READ_MAX, readTasks } from './results.ts';
import { isTaskId } from './submission-id.ts';
import { createSubmit, type Submit } from './submit.ts';
import { subscribe } from './subscription.ts';
import type { StreamShare } from './task-stream.ts';
import { Updates } from './updates.ts';

/**
 * The service: all that resolvers call. Every method sees only the tasks of `owner`. A stream ends, and leaves nothing behind,
 * when `gone` aborts: its client has disconnected. `share` is whose share of this process it takes, by default the owner's; all throw
 * RATE_LIMITED where there is no room.
 */
export interface Predictions {
  submit: Submit;
  get(ids: readonly string[], owner: string, hold?: Hold): Promise<(Task | undefined)[]>;
  /** A task that was terminal is returned as it is. Rejects with UNKNOWN_TASK. */
  cancel(id: string, owner: string, hold?: Hold): Promise<Task>;
  /** Each task as it ends; an error in place of those that ended and expired before they could be told. Rejects with UNKNOWN_TASK. */
  completions(
    ids: readonly string[],
    owner: string,
    gone?: AbortSignal,
    share?: Share,
  ): Promise<TaskIterator<Task | AppError>>;
  /** Rejects with UNKNOWN_TASK; the same stands in the stream if the task had ended and expired before it could be told. */
  updates(id: string, owner: string, gone?: AbortSignal, share?: Share): Promise<TaskIterator<Task | AppError>>;
}

/** Streams of many tasks that read their state at once, when they are opened; the others wait, owner by owner. */
const BULKS_AT_ONCE = 2;

/** Whose share of this process a stream takes, and what it may hold. */
type Share = Pick<StreamShare, 'payer' | 'hold'>;

type TaskIterator<T> = AsyncIterableIterator<T, undefined, undefined>;

interface PredictionServices extends Omit<EnqueueServices, 'admission'> {
  metrics: Metrics;
  /** What bounds the listeners of streams; without it nothing does. */
  ledger?: Pick<Ledger, 'listeners'>;
  /** Larger inputs go by the store. @default MESSAGE_INPUT_BYTES_MAX */
  messageInputBytesMax?: number | undefined;
}

export function createPredictions(services: PredictionServices): Predictions {
  const { broker, store, metrics, tracing, messageInputBytesMax } = services;
  const enqueue = createEnqueue({ ...services, admission: createAdmission(broker) });
  const listeners = services.ledger?.listeners;
  const bulks = createFairQueue(BULKS_AT_ONCE);
  let openSubscriptions = 0;
  metrics.observe({ openSubscriptions: () => openSubscriptions, taskListeners: store.watching });

  function subscribed<T extends Task | AppError>(
    stream: TaskIterator<T>,
    gone: AbortSignal | undefined,
  ): TaskIterator<T> {
    openSubscriptions += 1;
    return subscribe(stream, {
      gone,
      onPush: (task) => {
        if (task instanceof AppError || !isTerminal(task.state)) return;
        const { traceparent: parent } = task;
        tracing.start('taskCompleted', { kind: 'producer', parent, attributes: () => taskAttributes(task) }).end();
      },
      onEnd: () => {
        openSubscriptions -= 1;
      },
    });
  }

  return {
    submit: createSubmit({ store, enqueue, metrics, tracing, listeners, messageInputBytesMax }),

    get: (ids, owner, hold) => readTasks(store, ids, owner, hold),

    async cancel(id, owner, hold) {
      const [head] = isTaskId(id) ? await store.heads([id], owner) : [];
      if (!head) throw unknownTask([id]);
      const at = Date.now();
      const cancelled = await store.transition(id, { to: 'CANCELLED', at });
      const [task] = await readTasks(store, [id], owner, hold);
      if (!task) throw unknownTask([id]);
      const { model, submittedAt } = task;
      if (cancelled !== undefined) metrics.ended({ model: model.name, state: 'CANCELLED', totalMs: at - submittedAt });
      return task;
    },

    async completions(ids, owner, gone, share = { payer: owner }) {
      const distinct = [...new Set(ids)];
      await refuseOtherIds(store, distinct, owner);
      const open = () => Completions.open(store, distinct, owner, { ...share, bound: listeners });
      const isBulk = distinct.length > READ_MAX;
      return subscribed(await (isBulk ? bulks.run(share.payer, () => unlessGone(gone, open)) : open()), gone);
    },
    async updates(id, owner, gone, share = { payer: owner }) {
      await refuseOtherIds(store, [id], owner);
      return subscribed(await Updates.open(store, id, owner, { ...share, bound: listeners }), gone);
    },
  };
}

/** Who has left a queue by the time that it is its turn costs no more. */
function unlessGone<T>(gone: AbortSignal | undefined, work: () => Promise<T>): Promise<T> {
  if (gone?.aborted) throw new Overloaded('the client has disconnected');
  return work();
}

/** Throws UNKNOWN_TASK, naming all unknown ones, where some of the ids can be no task's. */
async function refuseOtherIds(store: TaskStore, ids: readonly string[], owner: string): Promise<void> {
  const possible = ids.filter(isTaskId);
  if (possible.length === ids.length) return;
  const heads = await store.heads(possible, owner);
  const known = new Set(heads.flatMap((head) => head?.id ?? []));
  throw unknownTask(ids.filter((id) => !known.has(id)));
}
