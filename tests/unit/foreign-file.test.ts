import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { requireOnnx } from '../../workers/inference/onnx/foreign-file.ts';
import { externalFiles } from '../../workers/inference/onnx/onnx-weights.ts';
import { floats, type OnnxGraph, onnxModel, value } from '../support/onnx.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';

async function written(content: Buffer | string): Promise<string> {
  const file = join(await temporaryDirectory(), 'model.onnx');
  await writeFile(file, content);
  return file;
}

const POINTER = 'version https://git-lfs.github.com/spec/v1\noid sha256:0123\nsize 12345\n';
const field = (number: number, content: string) =>
  Buffer.concat([Buffer.from([(number << 3) | 2, content.length]), Buffer.from(content)]);
const tar = Buffer.alloc(1024);
tar.write('model.onnx');
tar.write('ustar', 257);

const FOREIGN: [name: string, content: Buffer | string, said: string][] = [
  ['an empty file', '', 'an empty file'],
  ['a Git LFS pointer', POINTER, 'a Git LFS pointer, which stands for the file: `git lfs pull` fetches it'],
  ['a page', '\n<!DOCTYPE html><html>', 'an HTML or XML page'],
  ['a page with a byte order mark', '\ufeff<HTML>', 'an HTML or XML page'],
  ['an ORT file', Buffer.from('\x18\0\0\0ORTM\0\0', 'latin1'), 'an .ort file'],
  ['a TFLite file', Buffer.from('\x1c\0\0\0TFL3\0\0', 'latin1'), 'a TensorFlow Lite file'],
  ['a zip', Buffer.from('PK\x03\x04\0\0'), 'a zip archive'],
  ['a gzip', Buffer.from([0x1f, 0x8b, 8, 0]), 'compressed by gzip'],
  ['a tar', tar, 'a tar archive'],
  ['a pickle', Buffer.from([0x80, 4, 0x95, 1, 0]), 'a Python pickle'],
  ['safetensors', Buffer.from('\x10\0\0\0\0\0\0\0{"weight":{', 'latin1'), 'a safetensors file'],
  ['HDF5', Buffer.from('\x89HDF\r\n\x1a\n', 'latin1'), 'an HDF5 file'],
  ['a SavedModel', Buffer.concat([Buffer.from([8, 1]), field(2, 'meta graph')]), 'without an ONNX graph'],
  ['a GraphDef', field(1, 'node'), 'without an ONNX graph'],
  ['zeros', Buffer.alloc(4096), 'a file of zeros'],
  ['what a server says', 'Entry not found', 'a text file'],
];

test.for(FOREIGN)('%s is named as what it is', async ([, content, said]) => {
  const file = await written(content);
  expect(() => requireOnnx(file)).toThrow(said);
});

test('a file that was cut off says how much is missing', async () => {
  const whole = await readFile('models/iris/1/model.onnx');
  for (const part of [0.1, 0.5, 0.9]) {
    const length = Math.floor(whole.length * part);
    const file = await written(whole.subarray(0, length));
    expect(() => requireOnnx(file)).toThrow(new RegExp(`expected \\d+ bytes, got ${length}: the file is incomplete`));
  }
  expect(() => requireOnnx('models/iris/1/model.onnx')).not.toThrow();
});

describe('weights in other files', () => {
  const weights = (location: string) => ({ ...floats('w', [1, 2]), location });
  const then = (location: string): OnnxGraph => ({ inputs: [], outputs: [value('w', 'FP32', [2])], nodes: [], initializers: [weights(location)] }); // biome-ignore format: one line
  const model = (nodes: OnnxGraph['nodes'], location?: string) =>
    onnxModel({
      inputs: [value('c', 'BOOL', [])],
      outputs: [value('y', 'FP32', [2])],
      nodes,
      initializers: location === undefined ? [] : [weights(location)],
    });
  const branch = (inner: OnnxGraph) => ({
    op: 'If',
    inputs: ['c'],
    outputs: ['y'],
    attributes: { then_branch: inner },
  });

  test('are found in constants and in subgraphs of any depth', async () => {
    const nested: OnnxGraph = { inputs: [], outputs: [value('y', 'FP32', [2])], nodes: [branch(then('deep.bin'))] };
    const constant = { op: 'Constant', inputs: [], outputs: ['k'], attributes: { value: weights('constant.bin') } };
    const file = await written(model([constant, branch(nested), branch(then('if.bin'))], 'plain.bin'));
    expect(externalFiles(file).sort()).toEqual(['constant.bin', 'deep.bin', 'if.bin', 'plain.bin']);
  });

  test.for(['/etc/passwd', '../w.bin', 'a/../../w.bin', '.cache/w.bin', 'a/.b/w.bin', '..', 'C:\\w.bin'])(
    'that are in %s are refused',
    async (location) => {
      const file = await written(model([branch(then(location))]));
      expect(() => requireOnnx(file)).toThrow(
        `its weights are in "${location}"; expected files beside or below the model file`,
      );
    },
  );

  test('are no Git LFS pointers, and may have any other place below the file', async () => {
    const file = await written(model([], 'sub/./w..bin'));
    expect(() => requireOnnx(file)).not.toThrow();
    await mkdir(join(dirname(file), 'sub'));
    await writeFile(join(dirname(file), 'sub', 'w..bin'), POINTER);
    expect(() => requireOnnx(file)).toThrow('its weights in "sub/./w..bin" are a Git LFS pointer');
  });

  test('do not make the reader run out of stack', async () => {
    let inner = then('w.bin');
    for (let i = 0; i < 100; i += 1) inner = { inputs: [], outputs: [], nodes: [branch(inner)] };
    const file = await written(model([branch(inner)]));
    expect(() => requireOnnx(file)).toThrow('expected at most 64 graphs within each other');
  });
});
