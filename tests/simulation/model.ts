import { manifestSchema } from '../../src/models/manifest.ts';
import { fingerprintOf, type Signature } from '../../src/models/served-model.ts';
import type { LoadedModel } from '../../workers/repository/model-loading.ts';
import type { ModelSource } from '../../workers/repository/model-repository.ts';
import { servedModel, spec } from '../support/models.ts';
import type { Scenario } from './scenario.ts';

export const RUN_TIMEOUT_MS = 1_000;

const SIGNATURE: Signature = {
  inputs: [spec('x', 'FP64', [null, 2])],
  outputs: [spec('y', 'FP64', [null])],
  batched: true,
};

const models = new Map<string, LoadedModel>();

/** What a worker has that has this one model, for ever. */
export function modelsOf(model: LoadedModel): ModelSource {
  return { runnable: () => [model], find: () => model, current: () => model, watch: () => () => undefined };
}

/** The one model of a simulated world. */
export function modelWith({ maxAttempts, maxWaiting }: Pick<Scenario, 'maxAttempts' | 'maxWaiting'>): LoadedModel {
  const key = `${maxAttempts} ${maxWaiting}`;
  const known = models.get(key);
  if (known) return known;
  const manifest = manifestSchema.parse({ maxBatch: 4, timeoutMs: RUN_TIMEOUT_MS, maxAttempts, maxWaiting });
  const served = servedModel('simulated', SIGNATURE, { maxBatch: 4, maxWaiting });
  const model = {
    served,
    fingerprint: fingerprintOf(served),
    file: 'simulated',
    manifest,
    leftOut: [],
    sharing: () => ({ finding: 'independent' as const }),
    unbatched: () => undefined,
    shares: () => true,
  };
  models.set(key, model);
  return model;
}
