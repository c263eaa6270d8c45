import { execFile } from 'node:child_process';
import { mkdir, rename, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { fingerprintOf, servedModelSchema } from '../../src/models/served-model.ts';
import { createLog } from '../../src/process/log.ts';
import { createInferencePool, type InferencePool } from '../../workers/inference/inference-pool.ts';
import { openModelRepository } from '../../workers/repository/model-repository.ts';
import type { ModelFixture } from '../support/model-files.ts';
import { modelsDir } from '../support/models-dir.ts';
import { add, identity, signs, slow } from '../support/onnx-models.ts';

const log = createLog('silent', 'test');
let pool: InferencePool;
beforeAll(() => {
  pool = createInferencePool({ slots: 1, log });
});
afterAll(() => pool.close());

async function repositoryOf(models: Record<string, ModelFixture>) {
  return read(await modelsDir(models));
}

async function read(directory: string) {
  const repository = await openModelRepository({ modelsDir: directory, pool, log });
  onTestFinished(repository.close);
  // Paths as seen from the directory of models, to be read in a test.
  const faults = repository.faults().map(({ message }) => message.replaceAll(`${directory}/`, ''));
  return { models: repository.models(), faults };
}

test('a model is served as its file and its manifest say', async () => {
  const manifest = {
    description: 'Signs.',
    outputs: { y: { labels: ['minus', 'zero', 'plus'] } },
    maxBatch: 32,
    maxWaiting: 50,
    timeoutMs: 500,
    example: { x: 1 },
  };
  const { models, faults } = await repositoryOf({ signs: { manifest, onnx: signs() } });
  expect(faults).toEqual([]);
  expect(models).toHaveLength(1);
  expect(models[0]).toMatchObject({
    manifest: { ...manifest, maxDelayMs: 0, maxAttempts: 3 },
    served: {
      name: 'signs',
      version: '1',
      description: 'Signs.',
      digest: expect.stringMatching(/^[0-9a-f]{64}$/),
      signature: {
        inputs: [{ name: 'x', datatype: 'FP32', shape: [null] }],
        outputs: [{ name: 'y', datatype: 'INT64', shape: [null] }],
        batched: true,
      },
      names: { inputs: {}, outputs: { y: { labels: ['minus', 'zero', 'plus'] } } },
      maxBatch: 32,
      maxWaiting: 50,
      example: { x: 1 },
    },
  });
});

test('the fingerprint survives the way through the registry, and changes with what is registered', async () => {
  const onnx = identity('FP32');
  const { models } = await repositoryOf({ m: { onnx }, n: { onnx, manifest: { description: 'Another.' } } });
  const [m, n] = models.map(({ served, fingerprint }) => {
    expect(fingerprintOf(served)).toBe(fingerprint);
    expect(fingerprintOf(servedModelSchema.parse(JSON.parse(JSON.stringify(served))))).toBe(fingerprint);
    return fingerprint;
  });
  expect(m).not.toBe(n);
});

test('a manifest is optional, and a model that cannot be batched runs one task at a time', async () => {
  const { models } = await repositoryOf({ m: { onnx: identity('FP32', [1, 4]) } });
  expect(models[0]?.served).toMatchObject({ signature: { batched: false }, maxBatch: 1 });
});

test('each version is served, sorted by name and then the newest first', async () => {
  const onnx = { 9: identity('FP32'), 10: identity('FP64'), 2: add() };
  const { models } = await repositoryOf({ b: { onnx }, a: { onnx: identity('FP32') } });
  const found = models.map(({ served }) => `${served.name} ${served.version} ${served.signature.inputs[0]?.datatype}`);
  expect(found).toEqual(['a 1 FP32', 'b 10 FP64', 'b 9 FP32', 'b 2 FP32']);
});

test('capitals, dots, spaces and letters of any script make a name like any other', async () => {
  const names = ['Iris Model.v2', 'ÜBER-modell', '模型', '3d', '__proto__'];
  const onnx = identity('FP32');
  const { models, faults } = await repositoryOf(Object.fromEntries(names.map((name) => [name, { onnx }])));
  expect(faults).toEqual([]);
  expect(models.map(({ served }) => served.name).sort()).toEqual(names.sort());
});

test('files, dot directories and what is no version are passed over; a link to a directory is a directory', async () => {
  const directory = await modelsDir({ m: { onnx: identity('FP32') } });
  await writeFile(join(directory, 'README.md'), 'Models.');
  await mkdir(join(directory, '.git'));
  for (const other of ['latest', '01', '-1', '1.5']) await mkdir(join(directory, 'm', other));
  await symlink(join(directory, 'm'), join(directory, 'linked'));
  const { models, faults } = await read(directory);
  expect(faults).toEqual([]);
  expect(models.map(({ served }) => [served.name, served.version])).toEqual([
    ['linked', '1'],
    ['m', '1'],
  ]);
});

const LONG = 'm'.repeat(181);

test.each<[string, Record<string, ModelFixture>, string]>([
  ['broken JSON', { bad: { manifest: '{ "maxBatch": ', onnx: identity('FP32') } }, 'bad/model.json: expected JSON:'],
  [
    'a manifest that is no object',
    { bad: { manifest: '[]', onnx: identity('FP32') } },
    'bad/model.json: Invalid input',
  ],
  [
    'settings that are wrong',
    { bad: { manifest: { maxBatch: 0, timeout: 5 }, onnx: identity('FP32') } },
    'bad/model.json: maxBatch: Too small: expected number to be >=1; Unrecognized key: "timeout"; expected some of description, inputs',
  ],
  [
    'keys within keys that are wrong',
    { bad: { manifest: { inputs: { x: { field: ['a'], image: { color: 'rgb' } } } }, onnx: identity('FP32') } },
    'bad/model.json: inputs.x.image: Unrecognized key: "color"; expected some of colour, layout, width, height, fit, background, invert, ink, scale, mean, std; inputs.x: Unrecognized key: "field"; expected some of fields, labels, image',
  ],
  [
    'keys of an execution provider that are wrong',
    { bad: { manifest: { executionProviders: ['cpu', { name: 'cuda', device: 1 }] }, onnx: identity('FP32') } },
    'bad/model.json: executionProviders.1: Unrecognized key: "device"; expected some of name, deviceId',
  ],
  [
    'weights that lie elsewhere',
    { bad: { onnx: slow({ location: '../rounds.bin' }) } },
    'bad/1/model.onnx: the model could not be loaded: its weights are in "../rounds.bin"; expected files beside or below the model file',
  ],
  [
    'lists within lists without end',
    {
      bad: { manifest: `{ "example": { "x": ${'['.repeat(100_000)}${']'.repeat(100_000)} } }`, onnx: identity('FP32') },
    },
    'bad/model.json: expected at most 64 lists and objects within each other',
  ],
  [
    'names that do not fit the file',
    { bad: { manifest: { inputs: { x: { fields: ['a', 'b'] } } }, onnx: identity('FP32') } },
    'bad/model.json: inputs.x.fields: 2 names do not fit shape [?, 4] (version 1)',
  ],
  [
    'a tensor that the file does not have',
    { bad: { manifest: { outputs: { label: {} } }, onnx: identity('FP32') } },
    'bad/model.json: outputs.label: the model has no such tensor; expected one of y (version 1)',
  ],
  [
    'a batch that the file does not have',
    { bad: { manifest: { batched: true }, onnx: identity('FP32', [1, 4]) } },
    'bad/model.json: batched: dimension 0 of input "x" is always 1 (version 1)',
  ],
  ['a broken file', { bad: { onnx: Buffer.from('no') } }, 'bad/1/model.onnx: the model could not be loaded:'],
  ['no versions', { bad: { onnx: {}, manifest: {} } }, 'bad: expected a directory for each version'],
  [
    'the name that the API needs',
    { tensors: { onnx: identity('FP32') } },
    'tensors: a model cannot be named "tensors"',
  ],
  ['a name too long for a queue', { [LONG]: { onnx: identity('FP32') } }, `${LONG}: the name is 181 bytes long`],
])('%s: one clear line, and the neighbours are served', async (_, fixtures, line) => {
  const directories = Object.keys(fixtures);
  const { models, faults } = await repositoryOf({ ...fixtures, good: { onnx: identity('FP32') } });
  expect(models.map(({ served }) => served.name)).toEqual(['good']);
  expect(faults).toHaveLength(directories.length);
  expect(faults[0]?.startsWith(line), faults[0]).toBe(true);
  expect(faults[0]).not.toContain('\n');
});

test('a version without its file is left out, the other versions are served', async () => {
  const directory = await modelsDir({ m: { onnx: { 1: identity('FP32'), 2: Buffer.alloc(0), 3: identity('FP32') } } });
  await mkdir(join(directory, 'm', '4'));
  const { models, faults } = await read(directory);
  expect(models.map(({ served }) => served.version)).toEqual(['3', '1']);
  expect(faults).toHaveLength(2);
  expect(faults.join()).toContain(join('m', '4', 'model.onnx'));
});

test('a file by another name is named, with the name that is expected', async () => {
  const directory = await modelsDir({ m: { onnx: identity('FP32') } });
  await rename(join(directory, 'm', '1', 'model.onnx'), join(directory, 'm', '1', 'net.onnx'));
  const { faults } = await read(directory);
  expect(faults).toEqual(['m/1/model.onnx: no such file; there is net.onnx, and expected is the name model.onnx']);
});

test('what is no file in the place of one is a fault at once, and its neighbours are served', async () => {
  const directory = await modelsDir({ fifo: { onnx: identity('FP32') }, good: { onnx: identity('FP32') } });
  const place = (...parts: string[]) => join(directory, ...parts);
  await promisify(execFile)('mkfifo', [place('fifo', 'model.json')]);
  for (const name of ['device', 'directory', 'pipe']) await mkdir(place(name, '1'), { recursive: true });
  await symlink('/dev/zero', place('device', 'model.json'));
  await writeFile(place('device', '1', 'model.onnx'), identity('FP32'));
  await mkdir(place('directory', '1', 'model.onnx'));
  await promisify(execFile)('mkfifo', [place('pipe', '1', 'model.onnx')]);
  const { models, faults } = await read(directory);
  expect(models.map(({ served }) => served.name)).toEqual(['good']);
  expect(faults.sort()).toEqual([
    'device/model.json: expected a file, got a pipe, a socket or a device',
    'directory/1/model.onnx: expected a file, got a directory',
    'fifo/model.json: expected a file, got a pipe, a socket or a device',
    'pipe/1/model.onnx: expected a file, got a pipe, a socket or a device',
  ]);
});

test('a manifest of more than a mebibyte is refused unread', async () => {
  const manifest = { description: 'a'.repeat(1024 * 1024) };
  const { faults } = await repositoryOf({ m: { onnx: identity('FP32'), manifest } });
  expect(faults).toEqual(['m/model.json: expected at most 1048576 bytes, got 1048594']);
});

test('a version with a link that leads out of it is left out with what to do, and the others are served', async () => {
  const directory = await modelsDir({ m: { onnx: { 1: identity('FP32'), 2: identity('FP32') } } });
  await symlink('/proc/self/environ', join(directory, 'm', '2', 'w.bin'));
  const { models, faults } = await read(directory);
  expect(models.map(({ served: { version } }) => version)).toEqual(['1']);
  expect(faults).toEqual([
    expect.stringContaining("m/2/model.onnx: w.bin is a link that leads out of the version's folder"),
  ]);
});

test('a directory of models that is not there is a fault', async () => {
  const { models, faults } = await read('/nowhere/models');
  expect(models).toEqual([]);
  expect(faults).toEqual([expect.stringMatching(/^\/nowhere\/models: .*no such file or directory/)]);
});
