import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { declaredValues } from '../../workers/inference/onnx-file.ts';
import { modelsDir } from '../support/models-dir.ts';
import { floats, onnxModel, value } from '../support/onnx.ts';

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
    x: { elementType: 1, hasShape: true },
    any: { elementType: 8, hasShape: false },
    half: { elementType: 16, hasShape: true },
    list: { elementType: undefined, hasShape: false },
  });
});

test('an empty file declares nothing, and what is no ONNX is refused', async () => {
  expect(declaredValues(await written(Buffer.alloc(0))).size).toBe(0);
  await expect(async () => declaredValues(await written(Buffer.from([0xff, 0xff, 0xff])))).rejects.toThrow(
    'protocol buffers',
  );
  await expect(async () => declaredValues(await written(Buffer.from([0x07])))).rejects.toThrow('at byte 0');
});
