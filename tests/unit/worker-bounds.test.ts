import { expect, test } from 'vitest';
import { manifestSchema } from '../../src/models/manifest.ts';
import { OUTPUT_BYTES_MAX } from '../../src/models/outputs.ts';
import { prefetchOf } from '../../workers/prefetch.ts';
import { IRIS } from '../support/models.ts';
import { int64s, onnxModel, value } from '../support/onnx.ts';
import { tensor } from '../support/tensors.ts';
import { startTestWorker } from '../support/worker.ts';

/** `y UINT8 [length]`, each element `x UINT8 [1]`. */
function repeated(length: number): Buffer {
  return onnxModel({
    inputs: [value('x', 'UINT8', [1])],
    outputs: [value('y', 'UINT8', [length])],
    nodes: [{ op: 'Expand', inputs: ['x', 'shape'], outputs: ['y'] }],
    initializers: [int64s('shape', [length])],
  });
}

test('a result as large as one may be is kept; one that is larger ends its task, and says how large it is', async () => {
  const tooMany = OUTPUT_BYTES_MAX + 1;
  const { predict } = await startTestWorker({
    models: { most: { onnx: repeated(OUTPUT_BYTES_MAX) }, more: { onnx: repeated(tooMany) } },
  });
  const input = [tensor('x', 'UINT8', [7])];
  expect(await predict('most', input)).toMatchObject({ state: 'SUCCEEDED' });
  const message = `outputs: expected at most ${OUTPUT_BYTES_MAX} bytes, got ${tooMany} ("y" ${tooMany})`;
  expect(await predict('more', input)).toMatchObject({ state: 'FAILED', error: { code: 'INVALID_OUTPUT', message } });
});

test.each([
  ['by default: a batch in each slot and one that gathers', {}, 4, 5],
  ['where the model may take one slot', { concurrency: 1 }, 4, 2],
  ['of a fast model that may take one slot', { concurrency: 1, timeoutMs: 1_000 }, 4, 5],
  ['in one slot', {}, 1, 2],
  ['where a run may take 20 minutes: what runs, and nothing that waits', { timeoutMs: 1_200_000 }, 4, 3],
  ['where more concurrency is allowed than there are slots', { timeoutMs: 1_200_000, concurrency: 9 }, 4, 4],
])('as much is taken from a queue as should be through in 25 minutes, %s', (_, manifest, slots, batches) => {
  const model = { manifest: manifestSchema.parse(manifest), served: IRIS };
  expect(prefetchOf(model, slots)).toBe(batches * IRIS.maxBatch);
});
