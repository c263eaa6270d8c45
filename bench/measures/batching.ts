import { drainRate } from '../drain-rate.ts';
import type { Figure, Measure } from '../measure.ts';
import { dense, withModels } from '../models.ts';
import { foretellTarget } from '../target.ts';

const TASKS = 4_000;

const base64 = Buffer.from(Float32Array.from({ length: 784 }, (_, i) => i / 784).buffer).toString('base64');
const x = { name: 'x', datatype: 'FP32', shape: [1, 784], data: { base64 } };
const input = { tensors: { model: 'dense', inputs: [x] } };

/** A network of 784-512-512-10 by one inference process: every task in a run of its own, and runs that are shared naturally. */
export const batching: Measure = {
  name: 'batching',
  async run(stage) {
    const measured = (maxBatch: number) => {
      stage.progress(`batching: maxBatch ${maxBatch}`);
      return withModels({ dense: { onnx: dense([784, 512, 512, 10]), manifest: { maxBatch } } }, (MODELS_DIR) =>
        stage.foretell({ MODELS_DIR, WORKER_SLOTS: '1' }, (deployment) =>
          drainRate(
            stage,
            deployment,
            foretellTarget(deployment.url, () => input),
            TASKS,
          ),
        ),
      );
    };
    const alone = await measured(1);
    const shared = await measured(64);
    return [
      { what: 'dense network, a run for each task', unit: 'tasks/s', value: alone.rate },
      { what: 'dense network, shared runs', unit: 'tasks/s', value: shared.rate },
      { what: 'dense network, a run for each task: p95 in the queue and the run', unit: 'ms', value: alone.p95Ms },
      { what: 'dense network, shared runs: p95 in the queue and the run', unit: 'ms', value: shared.p95Ms },
    ] satisfies Figure[];
  },
};
