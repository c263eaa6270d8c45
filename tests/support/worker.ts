import { randomUUID } from 'node:crypto';
import { onTestFinished } from 'vitest';
import type { Broker } from '../../src/broker/broker.ts';
import { createMemoryBroker } from '../../src/broker/memory/memory-broker.ts';
import { encodeMessage } from '../../src/broker/message.ts';
import { type Lane, predictionQueue } from '../../src/broker/topology.ts';
import type { Log } from '../../src/process/log.ts';
import { createMemoryStore } from '../../src/store/memory/memory-store.ts';
import type { Payloads } from '../../src/store/payloads.ts';
import type { TaskStore } from '../../src/store/store.ts';
import { isTerminal, type Submission, type Task } from '../../src/task/task.ts';
import { NO_METRICS } from '../../src/telemetry/no-metrics.ts';
import type { Tensor } from '../../src/tensor/tensor.ts';
import { createInferencePool, type InferencePool } from '../../workers/inference/inference-pool.ts';
import { type ModelSource, openModelRepository } from '../../workers/repository/model-repository.ts';
import { HELD_BYTES_MAX } from '../../workers/tasks/held-bytes.ts';
import type { WorkerObserver } from '../../workers/tasks/worker-observer.ts';
import { startWorker } from '../../workers/worker.ts';
import type { ModelFixture } from './model-files.ts';
import { modelsDir } from './models-dir.ts';
import { createTestLog } from './test-log.ts';

export interface TestWorkerOptions {
  models: Record<string, ModelFixture>;
  /** @default 1 */
  slots?: number;
  /** What the worker is given in the store's place, to make it fail. */
  disturb?: (store: TaskStore) => TaskStore;
  /** The same for what keeps large inputs. */
  disturbPayloads?: (payloads: Payloads) => Payloads;
  heldBytesMax?: number;
  observer?: WorkerObserver;
  /** The same for the models. */
  disturbModels?: (models: ModelSource) => ModelSource;
  /** @default the broker of this process */
  openBroker?: (log: Log) => Broker | Promise<Broker>;
}

export type TestWorker = Awaited<ReturnType<typeof startTestWorker>>;

/** A worker on the broker (unless told otherwise) and the store of this process, with real inference processes; closed when the test has finished. */
export async function startTestWorker(options: TestWorkerOptions) {
  const {
    models: fixtures,
    slots = 1,
    disturb = (store) => store,
    disturbPayloads = (payloads) => payloads,
    disturbModels = (models) => models,
    openBroker = createMemoryBroker,
  } = options;
  const log = createTestLog();
  const broker = await openBroker(log);
  const store = createMemoryStore({ resultTtlMs: 60_000, log });
  const pool = createInferencePool({ slots, log });
  const repository = await openModelRepository({ modelsDir: await modelsDir(fixtures), pool, log });
  const [fault] = repository.faults();
  if (fault) throw fault;
  onTestFinished(async () => {
    await broker.close();
    await store.close();
    await repository.close();
  });
  const { heldBytesMax = HELD_BYTES_MAX, observer = NO_METRICS } = options;
  const started = {
    broker,
    payloads: disturbPayloads(store.payloads),
    models: disturbModels(repository),
    slots,
    heldBytesMax,
    observer,
    log,
  };

  /** A worker, closed when the test has finished, whose tasks must then be let go of. */
  async function start(ownPool: InferencePool) {
    const worker = await startWorker({ ...started, store: disturb(store), pool: ownPool });
    onTestFinished(async () => {
      await worker.close();
      await ownPool.close();
      if (worker.observed.heldDeliveries() > 0) throw new Error('deliveries were left behind');
    });
    return worker;
  }
  const worker = await start(pool);

  /** A task of the newest version of a model, as the API makes it. */
  function submissionOf(name: string, door: Submission['door'] = 'tensors', owner = 'test'): Submission {
    const model = repository.models().find(({ served }) => served.name === name);
    if (!model) throw new Error(`no model ${name}`);
    const { served, fingerprint } = model;
    const reference = { name, version: served.version, fingerprint };
    return { id: randomUUID(), owner, model: reference, door, submittedAt: Date.now() };
  }

  async function publish(
    submission: Submission,
    inputs: Tensor[],
    { lane = 'normal', ...more }: { lane?: Lane | undefined; returnsBefore?: number; attemptsBefore?: number } = {},
  ): Promise<void> {
    const body = encodeMessage({ submission, inputs });
    const message = { id: submission.id, body, attemptsBefore: 0, ...more };
    await broker.publish(predictionQueue(submission.model.name, lane), message);
  }

  /** The task in its terminal state. */
  function ended(id: string): Promise<Task> {
    return new Promise((resolve, reject) => {
      const read = async () => {
        const [task] = await store.get([id]);
        if (!task || !isTerminal(task.state)) return;
        stop();
        resolve(task);
      };
      const stop = store.watch(id, () => void read().catch(reject));
      read().catch(reject);
    });
  }

  return {
    log,
    broker,
    store,
    pool,
    worker,
    /** One more worker, with inference processes of its own, beside the first. */
    startAnother: () => start(createInferencePool({ slots, log })),
    submissionOf,
    publish,
    ended,
    /** Submits a task and waits for its end. */
    async predict(name: string, inputs: Tensor[], door?: Submission['door']): Promise<Task> {
      const submission = submissionOf(name, door);
      await store.create([submission]);
      await publish(submission, inputs);
      return ended(submission.id);
    },
  };
}
