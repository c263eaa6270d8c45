import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { sizesFault } from '../../src/models/equal-sizes.ts';
import { servedModelSchema } from '../../src/models/served-model.ts';
import { createInferencePool, type InferencePool } from '../../workers/inference/inference-pool.ts';
import { resized } from '../../workers/inference/probe.ts';
import { openModelRepository } from '../../workers/repository/model-repository.ts';
import { IRIS } from '../support/models.ts';
import { modelsDir } from '../support/models-dir.ts';
import { int64s, type OnnxConstant, type OnnxNode, type OnnxValue, onnxModel, value } from '../support/onnx.ts';
import { quotient } from '../support/onnx-models.ts';
import { contents, tensor } from '../support/tensors.ts';
import { createTestLog } from '../support/test-log.ts';
import { startTestWorker } from '../support/worker.ts';

const BOTH = ['batch', 'sequence'];

/** Of ids and a mask, both `[batch, sequence]`, what these nodes make. */
function text(nodes: OnnxNode[], more: { inputs?: OnnxValue[]; initializers?: OnnxConstant[]; shape?: string[] } = {}) {
  const { inputs = [], initializers = [], shape = BOTH } = more;
  const named = [value('ids', 'INT64', shape), value('mask', 'INT64', shape), ...inputs];
  return onnxModel({ inputs: named, outputs: [value('y', 'INT64', null)], nodes, initializers });
}

const concat = (axis: number): OnnxNode => ({
  op: 'Concat',
  inputs: ['ids', 'mask'],
  outputs: ['y'],
  attributes: { axis },
});

const MODELS = {
  multiplied: { onnx: text([{ op: 'Mul', inputs: ['ids', 'mask'], outputs: ['y'] }]) },
  joined: { onnx: text([concat(0)]) },
  apart: { onnx: text([{ op: 'Identity', inputs: ['ids'], outputs: ['y'] }]) },
  // The mask is cut to the ids: it may be longer.
  cut: {
    onnx: text(
      [
        { op: 'Shape', inputs: ['ids'], outputs: ['shape'] },
        { op: 'Slice', inputs: ['mask', 'start', 'shape', 'axes'], outputs: ['part'] },
        { op: 'Concat', inputs: ['ids', 'part'], outputs: ['y'], attributes: { axis: 0 } },
      ],
      { initializers: [int64s('start', [0, 0]), int64s('axes', [0, 1])] },
    ),
  },
  third: { onnx: text([concat(1)], { inputs: [value('kind', 'INT64', BOTH)] }) },
  // Twice in one input.
  square: {
    onnx: onnxModel({
      inputs: [value('nodes', 'FP32', ['N', 2]), value('edges', 'FP32', ['N', 'N'])],
      outputs: [value('y', 'FP32', null)],
      nodes: [
        { op: 'MatMul', inputs: ['edges', 'nodes'], outputs: ['next'] },
        { op: 'MatMul', inputs: ['edges', 'next'], outputs: ['y'] },
      ],
    }),
  },
  // What is divided by nothing fails: made-up zeros show nothing, made-up ones do.
  quotient: { onnx: quotient() },
  // What is taken in threes alone shows nothing of sizes that differ.
  threes: {
    onnx: text(
      [
        { op: 'Reshape', inputs: ['ids', 'three'], outputs: ['ids3'] },
        { op: 'Reshape', inputs: ['mask', 'three'], outputs: ['mask3'] },
        { op: 'Concat', inputs: ['ids3', 'mask3'], outputs: ['y'], attributes: { axis: 0 } },
      ],
      { initializers: [int64s('three', [-1, 3])], shape: ['one', 'sequence'] },
    ),
  },
  // It takes five columns in all, so that no inputs can be made up.
  narrow: {
    onnx: text([concat(1), { op: 'Reshape', inputs: ['y', 'five'], outputs: ['z'] }], {
      initializers: [int64s('five', [5])],
    }),
  },
};

let pool: InferencePool;
beforeAll(() => {
  pool = createInferencePool({ slots: 1, log: createTestLog() });
});
afterAll(() => pool.close());

async function load(models: Parameters<typeof modelsDir>[0]) {
  const repository = await openModelRepository({ modelsDir: await modelsDir(models), pool, log: createTestLog() });
  await repository.close();
  expect(repository.faults()).toEqual([]);
  return Object.fromEntries(repository.models().map(({ served }) => [served.name, served]));
}

const places = (...inputs: [input: string, dimension: number][]) =>
  inputs.map(([input, dimension]) => ({ input, dimension }));
const orOne = (...inputs: [input: string, dimension: number][]) =>
  places(...inputs).map((place) => ({ ...place, orOne: true }));

describe('loading shows which sizes have to be equal', () => {
  test('by runs in which one is fewer, more, and one', async () => {
    const served = await load(MODELS);
    const shown = Object.fromEntries(
      Object.entries(served).map(([name, { signature }]) => [name, signature.equalSizes]),
    );
    expect(shown).toEqual({
      multiplied: [
        { symbol: 'batch', places: orOne(['ids', 0], ['mask', 0]) },
        { symbol: 'sequence', places: orOne(['ids', 1], ['mask', 1]) },
      ],
      joined: [{ symbol: 'sequence', places: places(['ids', 1], ['mask', 1]) }],
      apart: undefined,
      cut: undefined,
      third: [{ symbol: 'batch', places: places(['ids', 0], ['mask', 0]) }],
      square: [{ symbol: 'N', places: places(['nodes', 0], ['edges', 0], ['edges', 1]) }],
      quotient: [{ symbol: 'batch', places: orOne(['x', 0], ['d', 0]) }],
      narrow: undefined,
      threes: undefined,
    });
    for (const model of Object.values(served)) expect(servedModelSchema.parse(model)).toEqual(model);
  });

  test('a process that dies over it leaves the model served', async () => {
    const lethal: InferencePool = {
      ...pool,
      probe: (model, _, options) =>
        pool
          .run(model, [tensor('x', 'INT64', [-(2n ** 63n)]), tensor('d', 'INT64', [-1n])], options)
          .then(() => ({ faults: [], tookMs: 0 })),
    };
    const directory = await modelsDir({ quotient: MODELS.quotient });
    const repository = await openModelRepository({ modelsDir: directory, pool: lethal, log: createTestLog() });
    await repository.close();
    expect(repository.models().map(({ served }) => served.signature.equalSizes)).toEqual([undefined]);
    expect(pool.restarts()).toBe(1);
  });

  test('a registration of before says nothing of it, and is read as ever', () => {
    expect(servedModelSchema.parse(IRIS).signature).not.toHaveProperty('equalSizes');
  });
});

describe('sizes that differ', () => {
  const groups = [{ symbol: 'sequence', places: [...places(['ids', 1]), ...orOne(['mask', 1])] }];
  const sized = (name: string, rows: number, size: number) =>
    tensor(name, 'INT64', Array<bigint>(rows * size).fill(1n), [rows, size]);

  test('are named with their inputs', () => {
    expect(sizesFault(groups, [sized('ids', 1, 3), sized('mask', 1, 2)])).toBe(
      'the sizes of "sequence" differ: 3 in dimension 1 of input "ids", 2 in dimension 1 of input "mask"',
    );
    expect(sizesFault([{ places: places(['ids', 0], ['mask', 0]) }], [sized('ids', 3, 1), sized('mask', 2, 1)])).toBe(
      'the sizes of the batch differ: 3 in dimension 0 of input "ids", 2 in dimension 0 of input "mask"',
    );
  });

  test('are no fault where they are equal, where one may be 1, or where another dimension is meant', () => {
    expect(sizesFault(groups, [sized('ids', 1, 3), sized('mask', 1, 3)])).toBeUndefined();
    expect(sizesFault(groups, [sized('ids', 1, 3), sized('mask', 1, 1)])).toBeUndefined();
    expect(sizesFault(groups, [sized('ids', 1, 1), sized('mask', 1, 3)])).toContain('1 in dimension 1 of input "ids"');
    expect(sizesFault(groups, [sized('ids', 2, 3), sized('mask', 1, 3)])).toBeUndefined();
  });

  test('fail the task, and its error names them, where loading showed nothing', async () => {
    const { predict } = await startTestWorker({ models: { narrow: MODELS.narrow } });
    const inputs = (ids: number, mask: number) => [sized('ids', 1, ids), sized('mask', 1, mask)];
    expect(await predict('narrow', inputs(3, 3))).toMatchObject({
      error: { code: 'MODEL_ERROR', message: expect.not.stringContaining('the sizes') },
    });
    expect(await predict('narrow', inputs(4, 2))).toMatchObject({
      error: { code: 'MODEL_ERROR', message: expect.stringContaining('; the sizes of "sequence" differ: 4 in') },
    });
    expect(await predict('narrow', inputs(3, 2))).toMatchObject({ state: 'SUCCEEDED' });
  });
});

test('a tensor in another size is cut off, or begins again', () => {
  const x = tensor('x', 'INT32', [1, 2, 3, 4, 5, 6], [2, 3]);
  const to = (dimension: number, size: number) => contents(resized([x], { tensor: 'x', dimension, size }))['x'];
  expect(to(1, 2)).toEqual({ shape: [2, 2], elements: [1, 2, 4, 5] });
  expect(to(1, 5)).toEqual({ shape: [2, 5], elements: [1, 2, 3, 1, 2, 4, 5, 6, 4, 5] });
  expect(to(0, 3)).toEqual({ shape: [3, 3], elements: [1, 2, 3, 4, 5, 6, 1, 2, 3] });
  expect(contents(resized([tensor('x', 'STRING', ['a', 'b'])], { tensor: 'x', dimension: 0, size: 3 }))['x']).toEqual({
    shape: [3],
    elements: ['a', 'b', 'a'],
  });
});
