import { identity, slow } from '../../tests/support/onnx-models.ts';
import { type Figure, type Measure, quantile } from '../measure.ts';
import { withModels } from '../models.ts';
import { foretellTarget, sequentialMs, type Target } from '../target.ts';

/** A microsecond each: about two seconds. */
const ROUNDS = '2000000';
const CALLS = 250;
const quick = {
  tensors: { model: 'quick', inputs: [{ name: 'x', datatype: 'FP32', shape: [1, 4], data: { floats: [1, 2, 3, 4] } }] },
};
const slowly = {
  tensors: { model: 'slow', inputs: [{ name: 'rounds', datatype: 'INT64', shape: [1], data: { longs: [ROUNDS] } }] },
};

const p95 = async (target: Target) => quantile(await sequentialMs(target, CALLS), 0.95);

/** What a quick model's clients notice of a slow one that takes all it may: two inference processes, of which it may have one. */
export const mixed: Measure = {
  name: 'mixed',
  async run(stage) {
    stage.progress('mixed load');
    const models = {
      quick: { onnx: identity('FP32') },
      slow: { onnx: slow(), manifest: { maxBatch: 1, concurrency: 1 } },
    };
    return withModels(models, (MODELS_DIR) =>
      stage.foretell({ MODELS_DIR, WORKER_SLOTS: '2' }, async ({ url }) => {
        const [target, busy] = [foretellTarget(url, () => quick), foretellTarget(url, () => slowly)];
        const alone = await p95(target);
        const ids = await busy.submit(10);
        const beside = await p95(target);
        await busy.completed(ids.slice(0, 1));
        target.close();
        busy.close();
        return [
          { what: 'quick model alone, p95', unit: 'ms', value: alone },
          { what: 'quick model beside a slow one that saturates its share, p95', unit: 'ms', value: beside },
        ] satisfies Figure[];
      }),
    );
  },
};
