import { copyFile, writeFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { createLog } from '../../src/process/log.ts';
import { DATATYPES, type Datatype, type Tensor } from '../../src/tensor/tensor.ts';
import type { Element } from '../../src/tensor/tensor-values.ts';
import { createInferencePool, type InferencePool } from '../../workers/inference/inference-pool.ts';
import { digestOf } from '../../workers/inference/model-file.ts';
import { modelFile } from '../support/models-dir.ts';
import { type OnnxValue, onnxModel, value } from '../support/onnx.ts';
import { add, identity, squares, unary } from '../support/onnx-models.ts';
import { contents, tensor } from '../support/tensors.ts';
import { createTestLog } from '../support/test-log.ts';

const log = createLog('silent', 'test');
const SOON = { timeoutMs: 60_000 };

let pool: InferencePool;
beforeAll(() => {
  pool = createInferencePool({ slots: 1, log });
});
afterAll(() => pool.close());

/** A pool that this test may do anything to. */
function ownPool(slots = 1): InferencePool {
  const own = createInferencePool({ slots, log });
  onTestFinished(() => own.close());
  return own;
}

describe('run', () => {
  const SAMPLES: Record<Datatype, Element[]> = {
    BOOL: [1, 0, 1, 1],
    UINT8: [0, 1, 254, 255],
    UINT16: [0, 1, 2, 65_535],
    UINT32: [0, 1, 2, 4_294_967_295],
    UINT64: [0n, 1n, 2n, 18_446_744_073_709_551_615n],
    INT8: [-128, -1, 0, 127],
    INT16: [-32_768, -1, 0, 32_767],
    INT32: [-2_147_483_648, -1, 0, 2_147_483_647],
    INT64: [-9_223_372_036_854_775_808n, -1n, 0n, 9_223_372_036_854_775_807n],
    FP16: [-2, 0.5, 65_504, 6e-8],
    FP32: [-2, 0.5, 3.4028234663852886e38, 1e-40],
    FP64: [-2, 0.5, 1.7976931348623157e308, 5e-324],
    STRING: ['', 'a', 'Grüße', '🙂'],
  };

  test.each(DATATYPES)('%s goes in and comes out as it was', async (datatype) => {
    const model = await modelFile(identity(datatype, ['batch', 2]));
    const { outputs, runMs } = await pool.run(model, [tensor('x', datatype, SAMPLES[datatype], [2, 2])], SOON);
    expect(outputs).toEqual([tensor('y', datatype, SAMPLES[datatype], [2, 2])]);
    expect(runMs).toBeGreaterThan(0);
  });

  test.each([
    ['no rows', [0, 2]],
    ['a scalar', []],
  ])('%s are a shape like any other', async (_, shape) => {
    const model = await modelFile(identity('FP32', shape.length === 0 ? [] : ['batch', 2]));
    const elements = shape.length === 0 ? [7] : [];
    const { outputs } = await pool.run(model, [tensor('x', 'FP32', elements, shape)], SOON);
    expect(contents(outputs)).toEqual({ y: { shape, elements } });
  });

  test('bytes that lie unaligned in a message are read right', async () => {
    const model = await modelFile(add('FP64', ['batch']));
    const frame = new Uint8Array(17);
    const unaligned = (name: string): Tensor => ({ ...tensor(name, 'FP64', [1.5, 2]), data: frame.subarray(1, 17) });
    frame.set(new Uint8Array(Float64Array.of(1.5, 2).buffer), 1);
    const { outputs } = await pool.run(model, [unaligned('a'), unaligned('b')], SOON);
    expect(contents(outputs)).toEqual({ sum: { shape: [2], elements: [3, 4] } });
  });

  test('NaN and infinities come out as they are', async () => {
    const model = await modelFile(unary('Log', 'FP32', ['batch']));
    const { outputs } = await pool.run(model, [tensor('x', 'FP32', [-1, 0])], SOON);
    expect(contents(outputs)).toEqual({ y: { shape: [2], elements: [Number.NaN, Number.NEGATIVE_INFINITY] } });
  });

  test('what the model refuses is a MODEL_ERROR, and the process goes on', async () => {
    const own = ownPool();
    const model = await modelFile(squares());
    await expect(own.run(model, [tensor('x', 'INT64', [10n])], SOON)).rejects.toMatchObject({
      code: 'MODEL_ERROR',
      message: expect.stringContaining('out of data bounds, idx=10'),
    });
    const { outputs } = await own.run(model, [tensor('x', 'INT64', [3n, 9n])], SOON);
    expect(contents(outputs)).toEqual({ y: { shape: [2], elements: [9, 81] } });
    expect(own.restarts()).toBe(0);
  });

  test("a client reads what went wrong without ONNX Runtime's source, all of which is in the log", async () => {
    const warnings = createTestLog();
    const own = createInferencePool({ slots: 1, log: warnings });
    onTestFinished(() => own.close());
    const model = await modelFile(add('FP32', ['m', 'n']));
    const [a, b] = [tensor('a', 'FP32', [1, 2], [1, 2]), tensor('b', 'FP32', [1, 2, 3], [1, 3])];
    const message = 'Add node: Attempting to broadcast an axis by a dimension other than 1. 2 by 3';
    await expect(own.run(model, [a, b], SOON)).rejects.toMatchObject({ code: 'MODEL_ERROR', message });
    const fault = expect.stringMatching(/element_wise_ops\.h:\d+/);
    const fields = expect.objectContaining({ fault, file: model.file });
    await expect.poll(() => warnings.lines('warn')).toContainEqual(expect.objectContaining({ fields }));
  });

  test('a task can be run again alone right after its run, and a fault of that is told beside the run', async () => {
    const model = await modelFile(squares());
    const inputs = [tensor('x', 'INT64', [3n, 9n])];
    const ran = await pool.run(model, inputs, { ...SOON, again: [tensor('x', 'INT64', [9n])] });
    expect(contents(ran.outputs)).toEqual({ y: { shape: [2], elements: [9, 81] } });
    expect(ran.again).toMatchObject({ outputs: [tensor('y', 'FP32', [81])], runMs: expect.any(Number) });
    const refused = await pool.run(model, inputs, { ...SOON, again: [tensor('x', 'INT64', [10n])] });
    expect(contents(refused.outputs)).toEqual({ y: { shape: [2], elements: [9, 81] } });
    expect(refused.again).toEqual({
      fault: expect.stringContaining('Gather node: indices element out of data bounds'),
    });
    expect((await pool.run(model, inputs, SOON)).again).toBeUndefined();
  });

  test('an output that is no tensor is left out, and named; a model without another is refused', async () => {
    const list = { ...value('list', 'FP32', ['n']), sequence: true };
    const withOutputs = (...outputs: OnnxValue[]) =>
      onnxModel({
        inputs: [value('x', 'FP32', ['n'])],
        outputs,
        nodes: [
          { op: 'SequenceConstruct', inputs: ['x'], outputs: ['list'] },
          { op: 'Identity', inputs: ['x'], outputs: ['y'] },
        ],
      });
    const model = await modelFile(withOutputs(list, value('y', 'FP32', ['n'])));
    const signature = await pool.inspect(model);
    expect(signature.outputs.map(({ name }) => name)).toEqual(['y']);
    expect(signature.leftOut).toEqual([{ name: 'list', kind: 'sequence of tensors' }]);
    const { outputs } = await pool.run(model, [tensor('x', 'FP32', [1])], SOON);
    expect(outputs.map(({ name }) => name)).toEqual(['y']);
    await expect(pool.inspect(await modelFile(withOutputs(list)))).rejects.toThrow(
      /^expected an output that is a tensor of .*; output "list" is left out: it is a sequence of tensors/,
    );
  });

  test('an output whose name no object of JavaScript can have as a key is refused before anybody asks for it', async () => {
    const model = onnxModel({
      inputs: [value('__proto__', 'FP32', ['n'])],
      outputs: [value('__proto__', 'FP32', ['n'])],
      nodes: [],
    });
    await expect(pool.inspect(await modelFile(model))).rejects.toThrow('names other than "__proto__"');
  });

  test('those that find no process idle wait their turn', async () => {
    const model = await modelFile(identity('INT32', ['n']));
    const runs = Array.from({ length: 20 }, (_, i) => pool.run(model, [tensor('x', 'INT32', [i])], SOON));
    const outputs = (await Promise.all(runs)).map((run) => contents(run.outputs)['y']?.elements);
    expect(outputs).toEqual(Array.from({ length: 20 }, (_, i) => [i]));
  });
});

describe('inspect', () => {
  test('tells names, datatypes and dimensions, those that may vary by their symbol', async () => {
    const signature = await pool.inspect(
      await modelFile(
        onnxModel({
          inputs: [value('a', 'FP32', ['batch', 4]), value('b', 'STRING', [2, '']), value('c', 'INT64', [])],
          outputs: [value('y', 'FP32', ['batch', 4])],
          nodes: [{ op: 'Identity', inputs: ['a'], outputs: ['y'] }],
        }),
      ),
    );
    expect(signature).toEqual({
      inputs: [
        { name: 'a', datatype: 'FP32', dimensions: ['batch', 4] },
        { name: 'b', datatype: 'STRING', dimensions: [2, ''] },
        { name: 'c', datatype: 'INT64', dimensions: [] },
      ],
      outputs: [{ name: 'y', datatype: 'FP32', dimensions: ['batch', 4] }],
      leftOut: [],
    });
  });

  test('a rank that the file does not tell is unknown, not that of a scalar', async () => {
    const { inputs, outputs } = await pool.inspect(
      await modelFile(
        onnxModel({
          inputs: [value('x', 'FP32', null), value('scalar', 'FP32', [])],
          outputs: [value('y', 'FP32', null), value('z', 'FP32', [])],
          nodes: [
            { op: 'Identity', inputs: ['x'], outputs: ['y'] },
            { op: 'Identity', inputs: ['scalar'], outputs: ['z'] },
          ],
        }),
      ),
    );
    expect([...inputs, ...outputs].map(({ dimensions }) => dimensions)).toEqual([null, [], null, []]);
  });

  test.each([
    ['bfloat16', value('x', 16, ['n']), '"x", "y" are of ONNX\'s datatype 16'],
    ['a sequence', { ...value('x', 'FP32', ['n']), sequence: true }, 'input "x"'],
  ])('an input of %s is named in the refusal', async (_, input, named) => {
    const model = onnxModel({
      inputs: [input],
      outputs: [value('y', input.datatype, ['n'])],
      nodes: [
        {
          op: input.sequence ? 'ConcatFromSequence' : 'Identity',
          inputs: ['x'],
          outputs: ['y'],
          ...(input.sequence && { attributes: { axis: 0 } }),
        },
      ],
    });
    await expect(pool.inspect(await modelFile(model))).rejects.toThrow(named);
  });

  test.each([
    ['nothing', Buffer.alloc(0)],
    ['no ONNX', Buffer.from('PK this is a zip')],
    ['half a model', identity('FP32').subarray(0, 40)],
    ['an operator that nobody knows', unary('Frobnicate', 'FP32')],
  ])('a file that is %s is refused by the process, which goes on', async (_, content) => {
    const own = ownPool();
    await expect(own.inspect(await modelFile(content))).rejects.toThrow('the model could not be loaded');
    expect((await own.inspect(await modelFile(identity('FP32')))).inputs).toHaveLength(1);
    expect(own.restarts()).toBe(0);
  });

  test('a file that was replaced since it was registered is not run under the old signature', async () => {
    const [model, other] = [await modelFile(identity('FP32')), await modelFile(identity('INT64'))];
    await copyFile(other.file, model.file);
    await expect(pool.inspect(model)).rejects.toThrow('changed since it was registered');
  });

  test('what is told of a file that cannot be loaded does not name its directory', async () => {
    const model = await modelFile(identity('FP32'));
    await writeFile(model.file, 'broken');
    const broken = { ...model, digest: await digestOf(model.file) };
    await expect(pool.inspect(broken)).rejects.toThrow(/^((?!foretell-models).)*$/);
  });
});
