import type { Config } from '../src/config.ts';
import type { Log } from '../src/log.ts';
import type { Services } from '../src/services.ts';
import { createInferencePool, type InferencePool } from './inference-pool.ts';
import { type ModelRepository, openModelRepository } from './model-repository.ts';
import { startWorker, type Worker } from './worker.ts';
import type { WorkerObserver } from './worker-observer.ts';

/** Of the grace time, what is left to everything but the runs. */
const REST_MS = 2_000;

export interface OpenWorker {
  repository: ModelRepository;
  pool: InferencePool;
  worker: Worker;
  close(): Promise<void>;
}

/** A worker with its inference processes: inspects the models, announces them, and takes their predictions. */
export async function openWorker(
  config: Config,
  { broker, store, registry }: Services,
  log: Log,
  observer?: WorkerObserver,
): Promise<OpenWorker> {
  const pool = createInferencePool({ slots: config.workerSlots, log });
  const repository = await openModelRepository({ modelsDir: config.modelsDir, pool, log }).catch(
    async (error: unknown) => {
      await pool.close();
      throw error;
    },
  );
  const { models } = repository;
  await registry.announce(models.map(({ served }) => served));
  const worker = await startWorker({ broker, store, pool, models, slots: config.workerSlots, observer, log });
  return {
    repository,
    pool,
    worker,
    async close() {
      await worker.close(Math.max(config.graceMs / 2, config.graceMs - REST_MS));
      await pool.close();
    },
  };
}
