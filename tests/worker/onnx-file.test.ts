import { stat, truncate, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { createLog } from '../../src/process/log.ts';
import { createInferencePool } from '../../workers/inference/inference-pool.ts';
import { digestOf } from '../../workers/inference/model-file.ts';
import { declaredValues, factsOf } from '../../workers/inference/onnx/onnx-file.ts';
import { externalFiles, sizeOf } from '../../workers/inference/onnx/onnx-weights.ts';
import { modelsDir } from '../support/models-dir.ts';
import { floats, onnxModel, value } from '../support/onnx.ts';
import { contents, tensor } from '../support/tensors.ts';

async function written(content: Buffer): Promise<string> {
  const file = join(await modelsDir({}), 'model.onnx');
  await writeFile(file, content);
  return file;
}

test('inputs and outputs are found behind nodes and weights of any size', async () => {
  const file = await written(
    onnxModel({
      inputs: [value('x', 'FP32', ['batch', 4]), value('any', 'STRING', null), value('half', 16, [])],
      outputs: [{ ...value('list', 'FP32', ['n']), sequence: true }],
      nodes: [{ op: 'Add', inputs: ['x', 'weights'], outputs: ['y'] }],
      initializers: [floats('weights', Array<number>(100_000).fill(1))],
    }),
  );
  expect(Object.fromEntries(declaredValues(file))).toEqual({
    x: { kind: 'tensor', elementType: 1, hasShape: true },
    any: { kind: 'tensor', elementType: 8, hasShape: false },
    half: { kind: 'tensor', elementType: 16, hasShape: true },
    list: { kind: 'sequence of tensors', elementType: undefined, hasShape: false },
  });
  const declared = declaredValues('examples/models/wine/1/model.onnx');
  expect([...declared].map(([name, { kind }]) => [name, kind])).toEqual([
    ['X', 'tensor'],
    ['output_label', 'tensor'],
    ['output_probability', 'sequence of maps'],
  ]);
});

test('an empty file declares nothing, and what is no ONNX is refused', async () => {
  expect(declaredValues(await written(Buffer.alloc(0))).size).toBe(0);
  await expect(async () => declaredValues(await written(Buffer.from([0xff, 0xff, 0xff])))).rejects.toThrow(
    'protocol buffers',
  );
  await expect(async () => declaredValues(await written(Buffer.from([0x07])))).rejects.toThrow('at byte 0');
});

test('room that was made for a file and not written yet is refused at its first byte, however much it is', async () => {
  const file = await written(Buffer.alloc(0));
  await truncate(file, 3 * 1024 ** 3);
  expect(() => externalFiles(file)).toThrow('at byte 0');
});

test('files beside the model that hold its weights are found, and count in its size, as ONNX Runtime reads them', async () => {
  const weights = floats('weights', [1, 2, 3, 4]);
  const file = await written(
    onnxModel({
      inputs: [value('x', 'FP32', ['batch', 4])],
      outputs: [value('y', 'FP32', ['batch', 4])],
      nodes: [
        { op: 'Mul', inputs: ['x', 'weights'], outputs: ['scaled'] },
        { op: 'Add', inputs: ['scaled', 'bias'], outputs: ['y'] },
      ],
      initializers: [{ ...weights, location: 'weights.bin' }, floats('bias', [1, 1, 1, 1])],
    }),
  );
  await expect(sizeOf(file)).rejects.toThrow('weights.bin');
  await writeFile(join(dirname(file), 'weights.bin'), Buffer.from(Float32Array.of(1, 2, 3, 4).buffer));
  expect(externalFiles(file)).toEqual(['weights.bin']);
  expect(await sizeOf(file)).toBe((await stat(file)).size + 16);
  const pool = createInferencePool({ slots: 1, log: createLog('silent', 'test') });
  onTestFinished(() => pool.close());
  const model = { file, digest: await digestOf(file) };
  const { outputs } = await pool.run(model, [tensor('x', 'FP32', [1, 1, 1, 1], [1, 4])], { timeoutMs: 60_000 });
  expect(contents(outputs)).toEqual({ y: { shape: [1, 4], elements: [2, 3, 4, 5] } });
});

test('sets of operators and the version of the format are read; who wrote it only where it says so', async () => {
  const y = value('y', 'FP32', [1]);
  const file = await written(
    onnxModel({
      inputs: [value('x', 'FP32', [1])],
      outputs: [y],
      nodes: [{ op: 'Identity', inputs: ['x'], outputs: ['y'] }],
    }),
  );
  const opsets = [
    { domain: '', version: 17 },
    { domain: 'com.microsoft', version: 1 },
  ];
  expect(factsOf(file)).toEqual({ irVersion: 8, producer: '', opsets });
  expect(factsOf('models/iris/1/model.onnx')).toMatchObject({ producer: 'foretell' });
});
