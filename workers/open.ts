import { LANES, predictionQueue } from '../src/broker/topology.ts';
import type { Config } from '../src/config.ts';
import { ifUnavailable } from '../src/errors.ts';
import type { Log } from '../src/log.ts';
import type { Services } from '../src/services.ts';
import { createInferencePool, type InferencePool } from './inference/inference-pool.ts';
import { type ModelRepository, openModelRepository } from './repository/model-repository.ts';
import { startWorker } from './worker.ts';

/** Of the grace time, what is left to everything but the runs. */
const REST_MS = 2_000;

export interface OpenWorker {
  repository: ModelRepository;
  pool: InferencePool;
  close(): Promise<void>;
}

/** A worker with its inference processes: inspects the models, announces them, and takes their predictions. */
export async function openWorker(config: Config, services: Services, log: Log): Promise<OpenWorker> {
  const { broker, registry, metrics } = services;
  const pool = createInferencePool({ slots: config.workerSlots, log });
  const repository = await openModelRepository({ modelsDir: config.modelsDir, pool, log }).catch(
    async (error: unknown) => {
      await pool.close();
      throw error;
    },
  );
  const { models } = repository;
  // Before anybody can submit: the first message of a queue that was made a moment ago is not safe yet.
  const queues = models.flatMap(({ served }) => LANES.map((lane) => predictionQueue(served.name, lane)));
  await broker.prepare([...new Set(queues)]).catch(ifUnavailable(undefined));
  await registry.announce(models.map(({ served }) => served));
  const worker = await startWorker({ ...services, pool, models, slots: config.workerSlots, observer: metrics, log });
  metrics.observe({ ...worker.observed, inferenceRestarts: pool.restarts });
  return {
    repository,
    pool,
    async close() {
      await worker.close(Math.max(config.graceMs / 2, config.graceMs - REST_MS));
      await pool.close();
    },
  };
}
