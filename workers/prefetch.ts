import { predictionQueue } from '../src/broker/topology.ts';
import type { LoadedModel } from './model-repository.ts';

/**
 * RabbitMQ closes the channel of whoever leaves a delivery unacknowledged for 30 minutes. Then nothing is lost and no attempt
 * is counted (what runs is adopted when it comes again, the rest is given out anew), but all of the worker reconnects; so what
 * is taken at once is what should be through in this time even if each run takes as long as it may.
 */
const HELD_MS_MAX = 25 * 60_000;

/** The most batches of a model that run at once; all slots but one by default: a slow model leaves one to the others. */
export function concurrencyOf({ manifest }: Pick<LoadedModel, 'manifest'>, slots: number): number {
  return Math.min(slots, manifest.concurrency ?? Math.max(1, slots - 1));
}

/**
 * How many deliveries a worker takes at once from each of a model's queues: a batch in each slot and one that gathers
 * meanwhile, fewer where the model may be too slow for that, and always one batch. Tasks that cannot share a run, and other models
 * in the same slots, may take longer: to count on the worst of all would leave every batch with one task.
 */
export function prefetchOf(model: Pick<LoadedModel, 'manifest' | 'served'>, slots: number): number {
  const rounds = Math.floor(HELD_MS_MAX / model.manifest.timeoutMs);
  const batches = Math.min(slots + 1, rounds * concurrencyOf(model, slots));
  return Math.max(1, batches) * model.served.maxBatch;
}

/** The queues of the models, normal and high, each with its prefetch. */
export function prefetches(models: readonly LoadedModel[], slots: number): Map<string, number> {
  const prefetchOfQueue = new Map<string, number>();
  for (const model of models) {
    for (const lane of ['normal', 'high'] as const) {
      const queue = predictionQueue(model.served.name, lane);
      prefetchOfQueue.set(queue, Math.max(prefetchOf(model, slots), prefetchOfQueue.get(queue) ?? 0));
    }
  }
  return prefetchOfQueue;
}
