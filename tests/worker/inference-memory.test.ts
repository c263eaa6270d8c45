import { readFileSync } from 'node:fs';
import { expect, onTestFinished, test } from 'vitest';
import type { ModelFile } from '../../workers/inference/inference-messages.ts';
import { createInferencePool, type InferencePool } from '../../workers/inference/inference-pool.ts';
import { modelFile } from '../support/models-dir.ts';
import { hoards, weighing } from '../support/onnx-models.ts';
import { contents, tensor } from '../support/tensors.ts';
import { createTestLog } from '../support/test-log.ts';

const SOON = { timeoutMs: 60_000 };
const MIB = 1024 * 1024;

function ownPool(memoryMib: number) {
  const log = createTestLog();
  const own = createInferencePool({ slots: 1, memoryBytes: memoryMib * MIB, log });
  onTestFinished(() => own.close());
  return { own, log };
}

const runOnce = (own: InferencePool, model: ModelFile) =>
  own.run(model, [tensor('x', 'FP32', Array<number>(512).fill(1), [1, 512])], SOON);

test('of models that do not fit into the budget together, those used last stay loaded', async () => {
  const { own } = ownPool(200);
  const onnx = weighing(25);
  const models = await Promise.all(Array.from({ length: 9 }, () => modelFile(onnx)));
  for (const model of models) await runOnce(own, model);
  const { loaded, bytes, loads, evictions } = own.sessions();
  expect({ loads, held: loaded + evictions }).toEqual({ loads: 9, held: 9 });
  expect(bytes).toBeLessThanOrEqual(200 * MIB);
  expect(bytes).toBeGreaterThanOrEqual(loaded * 25 * MIB);
  for (const model of models.slice(-loaded)) await runOnce(own, model);
  expect(own.sessions().loads).toBe(9);
  for (const model of models.slice(0, 1)) await runOnce(own, model);
  expect(own.sessions().loads).toBe(10);
  expect(own.restarts()).toBe(0);
});

test('a model that is larger than the budget is served, alone, and the log says so', async () => {
  const { own, log } = ownPool(20);
  const [small, large] = [await modelFile(weighing(2)), await modelFile(weighing(40))];
  await runOnce(own, small);
  for (let i = 0; i < 3; i += 1) await runOnce(own, large);
  expect(own.sessions()).toMatchObject({ loaded: 1, loads: 2, evictions: 1 });
  expect(own.sessions().bytes).toBeGreaterThanOrEqual(40 * MIB);
  expect(own.restarts()).toBe(0);
  const said = log.lines('warn').map(({ message, fields: { file } }) => ({ message, file }));
  expect(said).toEqual([{ message: 'model is larger than the memory budget, loaded alone', file: large.file }]);
});

test('a process that keeps more than its model may hold is replaced once its run has its result', async () => {
  const { own, log } = ownPool(20);
  const model = await modelFile(hoards());
  const sumOf = async (count: number) => {
    const { outputs } = await own.run(model, [tensor('n', 'INT64', [BigInt(count)])], SOON);
    return contents(outputs)['y']?.elements;
  };
  expect(await sumOf(3)).toEqual([3]);
  const [pid] = own.pids();
  // As far as FP32 counts.
  expect(await sumOf(2 ** 25)).toEqual([2 ** 25]);
  expect(await sumOf(4)).toEqual([4]);
  expect(own.pids()).not.toEqual([pid]);
  expect(own.restarts()).toBe(1);
  expect(own.sessions().loads).toBe(2);
  expect(log.lines('warn').map(({ fields: { how } }) => how)).toEqual([
    expect.stringMatching(/left it with \d+ MiB, of \d+ MiB/),
  ]);
});

test('a run that takes more memory than it may ends with its process within a second, and the next has another', async () => {
  const log = createTestLog();
  const own = createInferencePool({ slots: 1, memoryBytes: 20 * MIB, runMemoryBytes: 100 * MIB, log });
  onTestFinished(() => own.close());
  const model = await modelFile(hoards());
  const run = (count: number) => own.run(model, [tensor('n', 'INT64', [BigInt(count)])], SOON);
  expect(contents((await run(3)).outputs)['y']?.elements).toEqual([3]);
  const [pid = 0] = own.pids();
  expect(readFileSync(`/proc/${pid}/oom_score_adj`, 'utf8')).toBe('1000\n');
  // It would take 4 GiB.
  await expect(run(2 ** 29)).rejects.toMatchObject({
    code: 'MODEL_ERROR',
    isLethal: true,
    message: expect.stringMatching(
      /^the run took more memory than its process may, \d+ MiB; expected a smaller input$/,
    ),
  });
  expect(contents((await run(4)).outputs)['y']?.elements).toEqual([4]);
  expect(own.pids()).not.toEqual([pid]);
});
