import type { LoadedModel } from '../repository/model-loading.ts';

/**
 * RabbitMQ closes the channel of whoever leaves a delivery unacknowledged for 30 minutes. Then nothing is lost and no attempt
 * is counted (what runs is adopted when it comes again, the rest is given out anew), but all of the worker reconnects; so what
 * is taken at once is what should be through in this time even if each run takes as long as it may.
 */
const HELD_MS_MAX = 25 * 60_000;

/** Of a model whose runs are shorter, a worker takes as much work at once as fills this time: enough to keep the slots busy. */
const AHEAD_MS = 2_000;

/** How a model's latest runs went, in the mean. */
export interface Pace {
  runMs: number;
  batchSize: number;
}

/** What the newest run counts in it. */
const NEWEST = 0.3;

/** The most batches of a model that run at once; all slots but one by default: a slow model leaves one to the others. */
export function concurrencyOf({ manifest }: Pick<LoadedModel, 'manifest'>, slots: number): number {
  return Math.min(slots, manifest.concurrency ?? Math.max(1, slots - 1));
}

/**
 * The most deliveries that a worker takes at once from each of a model's queues: a batch in each slot and one that gathers
 * meanwhile, fewer where the model may be too slow for that, and always one batch. Tasks that cannot share a run, and other models
 * in the same slots, may take longer: to count on the worst of all would leave every batch with one task.
 */
export function prefetchMax(model: Pick<LoadedModel, 'manifest' | 'served' | 'shares'>, slots: number): number {
  const rounds = Math.floor(HELD_MS_MAX / model.manifest.timeoutMs);
  const batches = Math.min(slots + 1, rounds * concurrencyOf(model, slots));
  return Math.max(1, batches) * maxBatchOf(model);
}

/**
 * How many deliveries a worker takes at once from each of a model's queues, so that it hoards nothing which another worker could
 * run: what is in its runs, and what begins in the next two seconds, but always one more run. A run may grow to twice what it
 * was (to a full batch, where the model waits for that): a batch is no larger than what was taken. Before the first run it is a
 * batch for each slot. Where the manifest lets only so many begin, no more than that.
 */
export function prefetchAt(
  pace: Pace | undefined,
  model: Pick<LoadedModel, 'manifest' | 'served' | 'shares'>,
  slots: number,
): number {
  const concurrency = concurrencyOf(model, slots);
  const maxBatch = maxBatchOf(model);
  const mayGrow = model.manifest.maxDelayMs > 0 ? maxBatch : 2 * (pace?.batchSize ?? maxBatch);
  const runs = pace ? concurrency * Math.max(1, AHEAD_MS / pace.runMs) + 1 : concurrency;
  const tasks = Math.ceil(runs * Math.min(maxBatch, mayGrow));
  const { maxStartsPerSecond = Number.POSITIVE_INFINITY } = model.manifest;
  const beginning = Math.ceil((maxStartsPerSecond * AHEAD_MS) / 1_000);
  return Math.min(prefetchMax(model, slots), Math.max(concurrency + 1, tasks), beginning);
}

/** Whether a prefetch is so wrong that it is worth another consumer: a pace varies, and each change costs two channels. */
export function isOutgrown(prefetch: number, wanted: number): boolean {
  // Far less than the doubling that `prefetchAt` allows for, so that batches grow to four fifths of a full one.
  return wanted >= 1.25 * prefetch || 2 * wanted <= prefetch;
}

/** The most tasks that share a run at this moment. */
function maxBatchOf({ served, shares }: Pick<LoadedModel, 'served' | 'shares'>): number {
  return shares() ? served.maxBatch : 1;
}

export function nextPace(pace: Pace | undefined, run: Pace): Pace {
  if (!pace) return run;
  const mean = (before: number, now: number) => before + NEWEST * (now - before);
  return { runMs: mean(pace.runMs, run.runMs), batchSize: mean(pace.batchSize, run.batchSize) };
}
