import { rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { readWarmUp } from '../../src/models/warm-up.ts';
import type { ModelFile } from '../../workers/inference/inference-messages.ts';
import { createInferencePool, type InferencePool } from '../../workers/inference/inference-pool.ts';
import { openModelRepository } from '../../workers/repository/model-repository.ts';
import type { ModelFixture } from '../support/model-files.ts';
import { FLOWER, IRIS, servedModel, spec } from '../support/models.ts';
import { modelFile, modelsDir } from '../support/models-dir.ts';
import { FOR_EVER, identity, slow, squares } from '../support/onnx-models.ts';
import { contents, tensor } from '../support/tensors.ts';
import { createTestLog } from '../support/test-log.ts';

const timeoutMs = 60_000;
const SOON = { timeoutMs };

function ownPool(slots: number) {
  const log = createTestLog();
  const own = createInferencePool({ slots, log });
  onTestFinished(() => own.close());
  return { own, log };
}

const row = (...elements: number[]) => [tensor('x', 'FP32', elements, [1, elements.length])];
const index = (i: number) => [tensor('x', 'INT64', [BigInt(i)])];

/** Kills the process of a pool of one while it is idle; resolves when it has been noticed. */
async function killIdle(own: InferencePool): Promise<void> {
  await expect.poll(() => own.idle(), { timeout: 30_000 }).toBe(1);
  for (const pid of own.pids()) process.kill(pid, 'SIGKILL');
  await expect.poll(() => own.restarts(), { timeout: 30_000 }).toBeGreaterThan(0);
}

describe('a pool', () => {
  test('has every process load the model, and every one that takes the place of one, before it takes work', async () => {
    const { own } = ownPool(2);
    const model = await modelFile(identity('FP32'));
    await own.warmUp({ model, inputs: [row(1, 2, 3, 4), row(5, 6, 7, 8)], timeoutMs });
    expect(own.sessions()).toMatchObject({ loaded: 2, loads: 2 });
    const [pid = 0] = own.pids();
    await expect.poll(() => own.idle()).toBe(2);
    process.kill(pid, 'SIGKILL');
    await expect.poll(() => own.restarts(), { timeout: 30_000 }).toBe(1);
    await expect.poll(() => own.idle(), { timeout: 30_000 }).toBe(2);
    expect(own.sessions()).toMatchObject({ loaded: 2, loads: 3 });
    await own.run(model, row(1, 2, 3, 4), SOON);
    expect(own.sessions().loads).toBe(3);
  });

  test('keeps a run waiting until the process that is to take it is warm', async () => {
    const { own } = ownPool(1);
    const [warm, other] = [await modelFile(identity('FP32')), await modelFile(identity('FP32'))];
    const order: string[] = [];
    const run = own.run(other, row(1, 2, 3, 4), SOON).then(() => order.push('run'));
    const warmed = own.warmUp({ model: warm, inputs: [row(1, 2, 3, 4)], timeoutMs }).then(() => order.push('warm'));
    await Promise.all([run, warmed]);
    expect(order).toEqual(['warm', 'run']);
  });

  test('that is not warm yet does it when it has finished what it runs', async () => {
    const { own } = ownPool(1);
    const busy = await modelFile(slow());
    await own.run(busy, [tensor('rounds', 'INT64', [1n])], SOON);
    const running = own.run(busy, [tensor('rounds', 'INT64', [200_000n])], SOON);
    await own.warmUp({ model: await modelFile(identity('FP32')), inputs: [row(1, 2, 3, 4)], timeoutMs });
    expect((await running).outputs).toHaveLength(1);
    expect(own.sessions().loaded).toBe(2);
  });

  test('says which input the model refuses, and then neither is nor stays bound to it', async () => {
    const { own, log } = ownPool(1);
    const model = await modelFile(squares());
    const refused = own.warmUp({ model, inputs: [index(3), index(10)], timeoutMs });
    await expect(refused).rejects.toMatchObject({
      code: 'MODEL_ERROR',
      message: expect.stringMatching(/^warmUp\.1: /),
    });
    expect(own.restarts()).toBe(0);
    await killIdle(own);
    const { outputs } = await own.run(model, index(3), SOON);
    expect(contents(outputs)['y']?.elements).toEqual([9]);
    expect(log.lines('error')).toEqual([]);
  });

  test('replaces the process of a warm-up that takes too long, and goes on without it', async () => {
    const { own } = ownPool(1);
    const model = await modelFile(slow());
    const forEver = [tensor('rounds', 'INT64', [BigInt(FOR_EVER)])];
    await expect(own.warmUp({ model, inputs: [forEver], timeoutMs: 100 })).rejects.toMatchObject({ code: 'TIMEOUT' });
    await own.run(model, [tensor('rounds', 'INT64', [1n])], SOON);
    expect(own.restarts()).toBe(1);
  });

  test('that was closed refuses it, and closing it ends one that goes on', async () => {
    const { own } = ownPool(1);
    const model = await modelFile(slow());
    const first = own.warmUp({ model, inputs: [[tensor('rounds', 'INT64', [BigInt(FOR_EVER)])]], timeoutMs });
    const second = own.warmUp({ model, inputs: [[tensor('rounds', 'INT64', [1n])]], timeoutMs });
    const ended = Promise.allSettled([first, second]);
    await own.close();
    expect((await ended).map((each) => each.status === 'rejected' && each.reason.code)).toEqual(
      Array(2).fill('WORKER_LOST'),
    );
    await expect(own.warmUp({ model, inputs: [], timeoutMs })).rejects.toMatchObject({ code: 'WORKER_LOST' });
  });
});

describe('a new process', () => {
  test('does not warm up with a model that was cooled down', async () => {
    const { own } = ownPool(1);
    const [model, other] = [await modelFile(identity('FP32')), await modelFile(identity('FP32'))];
    const [warmUp, stays] = [model, other].map((each) => ({ model: each, inputs: [row(1, 2, 3, 4)], timeoutMs }));
    for (const each of [warmUp, stays]) if (each) await own.warmUp(each);
    if (warmUp) own.coolDown(warmUp);
    await killIdle(own);
    await expect.poll(() => own.idle(), { timeout: 30_000 }).toBe(1);
    expect(own.sessions()).toMatchObject({ loaded: 1, loads: 3 });
  });

  test('whose model cannot be loaded any more says so and takes work all the same', async () => {
    const { own, log } = ownPool(1);
    const [model, other] = [await modelFile(identity('FP32')), await modelFile(identity('FP32'))];
    await own.warmUp({ model, inputs: [row(1, 2, 3, 4)], timeoutMs });
    await writeFile(model.file, 'broken');
    await killIdle(own);
    expect((await own.run(other, row(1, 2, 3, 4), SOON)).outputs).toHaveLength(1);
    expect(own.restarts()).toBe(1);
    expect(log.lines('error')).toMatchObject([
      { message: 'warm-up of a new inference process failed', fields: { file: model.file } },
    ]);
  });

  test('that is lost over its warm-up is followed by one that does without', async () => {
    const { own, log } = ownPool(1);
    // How long it takes is in a file beside the model, which can be changed.
    const model = await slowAsItsFileSays(1);
    await own.warmUp({ model, inputs: [[]], timeoutMs: 2_000 });
    await writeRounds(model, FOR_EVER);
    await killIdle(own);
    const other = await modelFile(identity('FP32'));
    expect((await own.run(other, row(1, 2, 3, 4), SOON)).outputs).toHaveLength(1);
    expect(own.restarts()).toBe(2);
    expect(log.lines('error')).toMatchObject([{ fields: { err: { code: 'TIMEOUT' } } }]);
  });
});

async function slowAsItsFileSays(rounds: number): Promise<ModelFile> {
  const model = await modelFile(slow({ location: 'rounds.bin' }));
  await writeRounds(model, rounds);
  return model;
}

function writeRounds({ file }: ModelFile, rounds: number): Promise<void> {
  return writeFile(join(dirname(file), 'rounds.bin'), new Uint8Array(BigInt64Array.of(BigInt(rounds)).buffer));
}

describe('a manifest', () => {
  test('gives typed inputs, as a client would write them', () => {
    const { inputs, faults } = readWarmUp(IRIS, [FLOWER]);
    expect(faults).toEqual([]);
    expect(inputs.map(contents)).toEqual([
      { features: { shape: [1, 4], elements: [5.1, 3.5, 1.4, 0.2].map(Math.fround) } },
    ]);
  });

  test('names each fault of each input by its path', () => {
    const { petalWidthCm, ...incomplete } = FLOWER;
    expect(readWarmUp(IRIS, [FLOWER, incomplete, { ...FLOWER, petalWidthCm: 'wide' }]).faults).toEqual([
      'warmUp.1.petalWidthCm: expected a finite number that FP32 can hold, got nothing',
      'warmUp.2.petalWidthCm: expected a finite number that FP32 can hold, got a string',
    ]);
    expect(petalWidthCm).toBe(0.2);
  });

  test('has none for a model that no typed input can be written for', () => {
    const signature = { inputs: [spec('x', 'FP32', null)], outputs: [spec('y', 'FP32', [1])], batched: false };
    expect(readWarmUp(servedModel('m', signature), [{}]).faults).toEqual([expect.stringMatching(/^warmUp: /)]);
    expect(readWarmUp(servedModel('m', signature), []).faults).toEqual([]);
  });

  async function read(models: Record<string, ModelFixture>) {
    const { own, log } = ownPool(2);
    const directory = await modelsDir(models);
    const repository = await openModelRepository({ modelsDir: directory, pool: own, log, pollMs: 50 });
    onTestFinished(() => repository.close());
    return { own, directory, repository, names: () => repository.models().map(({ served }) => served.name) };
  }

  test('with warm-up inputs has its model loaded in every process when the repository is there', async () => {
    const { own, repository, names } = await read({
      cold: { onnx: identity('FP32') },
      warm: { onnx: identity('FP32'), manifest: { warmUp: [{ x: [1, 2, 3, 4] }] } },
    });
    expect({ faults: repository.faults(), names: names() }).toEqual({ faults: [], names: ['cold', 'warm'] });
    // Each was inspected by one process.
    expect(own.sessions().loads).toBe(3);
  });

  test.each<[string, ModelFixture, string]>([
    [
      'that do not fit',
      { onnx: identity('FP32'), manifest: { warmUp: [{ x: [1] }] } },
      'model.json: warmUp.0.x: expected a list of 4',
    ],
    ['that are none', { onnx: identity('FP32'), manifest: { warmUp: [7] } }, 'model.json: warmUp.0: '],
    [
      'that the model refuses',
      { onnx: squares(), manifest: { warmUp: [{ x: 3 }, { x: 10 }] } },
      'model.json: warmUp.1: ',
    ],
  ])('with warm-up inputs %s is a fault, and its model is not served', async (_, bad, fault) => {
    const { repository, names } = await read({ bad, good: { onnx: identity('FP32') } });
    expect(names()).toEqual(['good']);
    expect(repository.faults().map(({ message }) => message)).toEqual([expect.stringContaining(fault)]);
  });

  test('that has them no more, or whose model is removed, leaves later processes cold', async () => {
    const manifest = { warmUp: [{ x: [1, 2, 3, 4] }] };
    const { own, directory, repository } = await read({
      changed: { onnx: identity('FP32'), manifest },
      removed: { onnx: identity('FP32'), manifest },
      stays: { onnx: identity('FP32'), manifest },
    });
    const changed = () => repository.models().find(({ served }) => served.name === 'changed')?.warmUp;
    expect(changed()).toBeDefined();
    await writeFile(join(directory, 'changed', 'model.json'), '{}');
    await rm(join(directory, 'removed'), { recursive: true });
    await expect.poll(() => [repository.models().length, changed()], { timeout: 30_000 }).toEqual([2, undefined]);
    for (const pid of own.pids()) process.kill(pid, 'SIGKILL');
    await expect.poll(() => own.restarts(), { timeout: 30_000 }).toBe(2);
    await expect.poll(() => own.idle(), { timeout: 30_000 }).toBe(2);
    expect(own.sessions().loaded).toBe(2);
  });
});
