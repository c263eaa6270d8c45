import type { BatchLimits } from '../batching/batch-line.ts';
import { OwnerCosts } from '../batching/owner-costs.ts';
import { createStartRates } from '../batching/start-rate.ts';
import type { LoadedModel } from '../repository/model-loading.ts';
import { concurrencyOf } from './prefetch.ts';
import type { TaskSharing } from './task-sharing.ts';

/** What the batcher is told of each model. Its versions share, by its name, how many of its tasks begin and what they cost their owners. */
export function createBatchLimits(of: {
  slots: number;
  sharing: Pick<TaskSharing, 'shares'>;
  /** The version whose manifest bounds the runs of a model at present. */
  limiting: (model: LoadedModel) => LoadedModel;
}): (model: LoadedModel) => BatchLimits {
  const { slots, sharing, limiting } = of;
  const startRates = createStartRates();
  const costsOf = new Map<string, OwnerCosts>();
  return (model) => {
    const bounding = limiting(model);
    const { served, manifest } = bounding;
    const costs = costsOf.get(served.name) ?? new OwnerCosts();
    costsOf.set(served.name, costs);
    return {
      shares: () => sharing.shares(model),
      maxBatch: served.maxBatch,
      maxDelayMs: manifest.maxDelayMs,
      concurrency: concurrencyOf(bounding, slots),
      concurrentWith: `${model.served.name}/${model.served.version}`,
      starts: startRates(served.name, manifest.maxStartsPerSecond),
      costs,
    };
  };
}
