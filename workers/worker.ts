import type { Broker, Delivery, Verdict } from '../src/broker/broker.ts';
import { decodeMessage, type PredictionMessage } from '../src/broker/message.ts';
import type { Log } from '../src/log.ts';
import type { TaskStore } from '../src/store/store.ts';
import type { Submission } from '../src/task.ts';
import { passOn } from './absent-model.ts';
import { holdTask, inputFault } from './held-task.ts';
import type { InferencePool } from './inference-pool.ts';
import type { LoadedModel } from './model-repository.ts';
import { createPatientStore } from './patient-store.ts';
import { prefetches } from './prefetch.ts';
import { RunError } from './run-error.ts';
import { Scheduler, type SchedulerStats } from './scheduler.ts';
import { createSettlement } from './settlement.ts';
import { createTasksInHand } from './tasks-in-hand.ts';

export interface WorkerOptions {
  broker: Broker;
  store: TaskStore;
  pool: InferencePool;
  models: readonly LoadedModel[];
  /** Inference processes of the pool. */
  slots: number;
  log: Log;
}

export interface Worker {
  stats(): SchedulerStats;
  /** Takes no more deliveries, finishes those in hand, and resolves; what waits for a store that is away is given back. */
  close(): Promise<void>;
}

/** Takes the prediction messages of its models from the broker, runs them in batches, and stores what comes out. */
export async function startWorker({ broker, store, pool, models, slots, log }: WorkerOptions): Promise<Worker> {
  const closing = new AbortController();
  const patientStore = createPatientStore({
    store,
    closing: closing.signal,
    onBack: () => scheduler.dispatch(),
    log,
  });
  const settlement = createSettlement({ store: patientStore, log });
  const scheduler: Scheduler = new Scheduler({ pool, slots, settlement, isPaused: patientStore.isAway, log });
  const inHand = createTasksInHand({ remove: (task) => scheduler.remove(task), log });
  const stopListening = pool.onIdle(() => scheduler.dispatch());

  async function handle(delivery: Delivery): Promise<Verdict> {
    const message = read(delivery, log);
    if (!message) return 'dead-letter';
    const { submission, inputs } = message;
    const model = find(models, submission);
    if (!model) return passOn({ submission, delivery }, { store: patientStore, log });
    const known = inHand.adopt(submission.id, delivery);
    if (known) return inHand.verdictOf(known, delivery);
    const task = holdTask(delivery, { submission, inputs, model });
    const verdict = inHand.verdictOf(task, delivery);
    const fault = inputFault(task);
    if (fault) await settlement.fail(task, new RunError('MODEL_ERROR', fault));
    else scheduler.add(task);
    return verdict;
  }

  const consumers = await Promise.all(
    [...prefetches(models, slots)].map(([queue, prefetch]) => broker.consume({ queue, prefetch }, handle)),
  );
  return {
    stats: () => scheduler.stats(),
    async close() {
      closing.abort();
      await Promise.all(consumers.map((consumer) => consumer.close()));
      stopListening();
      scheduler.close();
    },
  };
}

/** What a delivery says; `undefined` for one that nobody can make anything of. */
function read({ id, body }: Delivery, log: Log): PredictionMessage | undefined {
  try {
    return decodeMessage(body);
  } catch (err) {
    log.error({ taskId: id, err }, 'prediction message unreadable, dead-lettered');
    return undefined;
  }
}

function find(models: readonly LoadedModel[], { model }: Submission): LoadedModel | undefined {
  return models.find(({ served }) => served.name === model.name && served.version === model.version);
}
