import { inBackground } from '../src/async/in-background.ts';
import { oneAtATime } from '../src/async/one-at-a-time.ts';
import { LANES, predictionQueue } from '../src/broker/topology.ts';
import { ifUnavailable } from '../src/errors.ts';
import type { Config } from '../src/process/config.ts';
import type { Log } from '../src/process/log.ts';
import type { Services } from '../src/services.ts';
import { createInferencePool, type InferencePool } from './inference/inference-pool.ts';
import { publicFault } from './repository/model-fault.ts';
import { type ModelRepository, openModelRepository } from './repository/model-repository.ts';
import { startWorker } from './worker.ts';

/** Of the grace time, what is left to everything but the runs. */
const REST_MS = 2_000;

export interface OpenWorker {
  repository: ModelRepository;
  pool: InferencePool;
  close(): Promise<void>;
}

/** A worker with its inference processes: inspects the models, registers them, and takes their predictions. */
export async function openWorker(config: Config, services: Services, log: Log): Promise<OpenWorker> {
  const { broker, registry, metrics } = services;
  const { workerSlots: slots, modelMemoryBytes: memoryBytes, runMemoryBytes } = config;
  const pool = createInferencePool({ slots, memoryBytes, runMemoryBytes, log });
  const { modelsDir, workerModels: chosen } = config;
  const repository = await openModelRepository({ modelsDir, chosen, pool, sharings: registry, log }).catch(
    async (error: unknown) => {
      await pool.close();
      throw error;
    },
  );
  const register = oneAtATime(async () => {
    const models = repository.models().map(({ served }) => served);
    // Before anybody can submit: the first message of a queue that was made a moment ago is not safe yet.
    const queues = models.flatMap(({ name }) => LANES.map((lane) => predictionQueue(name, lane)));
    await broker.prepare([...new Set(queues)]).catch(ifUnavailable(undefined));
    const faults = repository.faults().flatMap((fault) => {
      const { model: name, version } = fault;
      if (name === undefined) return [];
      const newest = version === undefined ? repository.newestVersion(name) : undefined;
      return [{ name, version, newest, message: publicFault(fault, modelsDir) }];
    });
    await registry.register(models, faults);
  });
  await register();
  const worker = await startWorker({
    ...services,
    pool,
    models: repository,
    findRegistered: registry.find,
    recordSharing: registry.recordSharing,
    slots,
    observer: metrics,
    log,
  });
  const know = () => metrics.know([...new Set(repository.models().map(({ served }) => served.name))], 'runs');
  know();
  const unwatchers = [repository.watch(inBackground(register, log)), repository.watch(know)];
  metrics.observe({
    ...worker.observed,
    inferenceRestarts: pool.restarts,
    sessions: pool.sessions,
  });
  return {
    repository,
    pool,
    async close() {
      for (const unwatch of unwatchers) unwatch();
      await worker.close(Math.max(config.graceMs / 2, config.graceMs - REST_MS));
      // What is still being inspected ends with the processes.
      await Promise.all([repository.close(), pool.close()]);
    },
  };
}
