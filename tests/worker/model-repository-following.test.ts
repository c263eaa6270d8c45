import { mkdir, readFile, rename, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { findModel } from '../../src/registry/registry.ts';
import type { ModelReference } from '../../src/task/task.ts';
import { createInferencePool, type InferencePool } from '../../workers/inference/inference-pool.ts';
import type { LoadedModel } from '../../workers/repository/model-loading.ts';
import { openModelRepository } from '../../workers/repository/model-repository.ts';
import { type ModelFixture, writeModel } from '../support/model-files.ts';
import { modelsDir } from '../support/models-dir.ts';
import { floats, onnxModel, value } from '../support/onnx.ts';
import { add, identity, signs } from '../support/onnx-models.ts';
import { createTestLog } from '../support/test-log.ts';

let pool: InferencePool;
beforeAll(() => {
  pool = createInferencePool({ slots: 2, log: createTestLog() });
});
afterAll(() => pool.close());

async function follow(models: Record<string, ModelFixture>) {
  const directory = await modelsDir(models);
  const log = createTestLog();
  const repository = await openModelRepository({ modelsDir: directory, pool, log, pollMs: 10 });
  onTestFinished(repository.close);
  let changes = 0;
  repository.watch(() => {
    changes += 1;
  });
  const served = () => repository.models().map(({ served: { name, version } }) => `${name} ${version}`);
  return {
    repository,
    log,
    served,
    changes: () => changes,
    faults: () => repository.faults().map(({ message }) => message.replaceAll(`${directory}/`, '')),
    path: (...parts: string[]) => join(directory, ...parts),
    write: (name: string, fixture: ModelFixture) => writeModel(directory, name, fixture),
    version(name: string): LoadedModel {
      const model = repository.models().find((each) => each.served.name === name);
      if (!model) throw new Error(`no model ${name}`);
      return model;
    },
  };
}

const referenceTo = ({ served: { name, version }, fingerprint }: LoadedModel): ModelReference => ({
  name,
  version,
  fingerprint,
});

test('models and versions that are added are served, and those removed are not', async () => {
  const { served, write, path, changes } = await follow({ a: { onnx: identity('FP32') } });
  expect(served()).toEqual(['a 1']);
  await write('b', { onnx: signs() });
  await write('a', { onnx: { 2: add() } });
  await expect.poll(served).toEqual(['a 2', 'a 1', 'b 1']);
  await rm(path('a', '1'), { recursive: true });
  await expect.poll(served).toEqual(['a 2', 'b 1']);
  await rm(path('b'), { recursive: true });
  await expect.poll(served).toEqual(['a 2']);
  await expect.poll(changes).toBeGreaterThan(2);
});

test('an output that is left out is said once in the log, with the way to have it; it is no fault', async () => {
  const onnx = await readFile('examples/models/wine/1/model.onnx');
  const { log, served, faults, version, write } = await follow({ wine: { onnx } });
  expect([served(), faults()]).toEqual([['wine 1'], []]);
  await write('wine', { onnx, manifest: { description: 'Cultivars.' } });
  await expect.poll(() => version('wine').served.description).toBe('Cultivars.');
  const note =
    'output "output_probability" is left out: it is a sequence of maps, and only tensors can be read; ' +
    "skl2onnx gives a tensor instead with options={'zipmap': False}";
  const fields = { model: 'wine', version: '1', note };
  expect(log.lines('warn')).toEqual([{ level: 'warn', message: 'output left out', fields }]);
  // Who gives it names is told why it is not there.
  await write('wine', { onnx, manifest: { outputs: { output_probability: { fields: ['a', 'b', 'c'] } } } });
  await expect.poll(() => faults().join()).toContain(`no such tensor; expected one of output_label; ${note}`);
});

test.each(['in place', 'by a rename'])(
  'a file that is replaced %s is served anew, and the one before is kept for its tasks',
  async (how) => {
    const { repository, version, path } = await follow({ m: { onnx: identity('FP32') } });
    const before = version('m');
    const content = await readFile(before.file);
    if (how === 'in place') await writeFile(path('m', '1', 'model.onnx'), signs());
    else {
      await writeFile(path('m', 'new.onnx'), signs());
      await rename(path('m', 'new.onnx'), path('m', '1', 'model.onnx'));
    }
    await expect.poll(() => version('m').served.signature.outputs[0]?.datatype).toBe('INT64');
    expect(version('m').fingerprint).not.toBe(before.fingerprint);
    expect(repository.find(referenceTo(version('m')))).toBe(version('m'));
    expect(repository.find(referenceTo(before))).toBe(before);
    expect(repository.runnable()).toEqual([version('m'), before]);
    expect(await readFile(before.file)).toEqual(content);
  },
);

test('a removed model is run still for the tasks submitted for it, and served no more', async () => {
  const { repository, version, path, served } = await follow({ m: { onnx: identity('FP32') } });
  const before = version('m');
  await rm(path('m'), { recursive: true });
  await expect.poll(served).toEqual([]);
  expect(repository.find(referenceTo(before))).toBe(before);
  expect(repository.current(before.served)).toBeUndefined();
  expect((await stat(before.file)).isFile()).toBe(true);
});

test('what cannot be served takes nothing down that was, is said once, and forgotten when it is mended', async () => {
  const { version, path, faults, log, write, served } = await follow({ m: { onnx: identity('FP32') } });
  const before = version('m');
  await writeFile(path('m', '1', 'model.onnx'), identity('FP32').subarray(0, 40));
  await write('n', { onnx: Buffer.from('no model'), manifest: {} });
  await expect
    .poll(faults)
    .toEqual([
      expect.stringContaining('m/1/model.onnx: the model could not be loaded'),
      expect.stringContaining('n/1/model.onnx: the model could not be loaded'),
    ]);
  expect(version('m')).toBe(before);
  expect(served()).toEqual(['m 1']);
  await write('m', { onnx: add(), manifest: '{' });
  await expect.poll(faults).toContainEqual(expect.stringContaining('m/model.json: expected JSON'));
  expect(version('m')).toBe(before);
  await write('m', { onnx: add(), manifest: {} });
  await write('n', { onnx: signs() });
  await expect.poll(faults).toEqual([]);
  expect(version('m').fingerprint).not.toBe(before.fingerprint);
  expect(served()).toEqual(['m 1', 'n 1']);
  const said = log.lines('warn').filter(({ fields }) => String(fields['fault']).includes('/n/'));
  expect(said).toHaveLength(1);
});

test('a manifest that changes how a model is run changes that alone: its loaded sessions stay', async () => {
  const { version, path } = await follow({ m: { onnx: identity('FP32'), manifest: { timeoutMs: 1_000 } } });
  const before = version('m');
  await writeFile(path('m', 'model.json'), JSON.stringify({ timeoutMs: 2_000 }));
  await expect.poll(() => version('m').manifest.timeoutMs).toBe(2_000);
  expect(version('m')).toMatchObject({ file: before.file, fingerprint: before.fingerprint });
});

test('a file that is written again as it was is no other model', async () => {
  const { version, path, changes } = await follow({ m: { onnx: identity('FP32') }, n: { onnx: signs() } });
  const before = version('m');
  await writeFile(path('m', '1', 'model.onnx'), identity('FP32'));
  // Something else that is seen no sooner.
  await writeFile(path('n', '1', 'model.onnx'), add());
  await expect.poll(() => version('n').served.signature.inputs).toHaveLength(2);
  expect(version('m')).toMatchObject({ file: before.file, fingerprint: before.fingerprint });
  await expect.poll(changes).toBe(1);
});

test('weights beside the file belong to the model: with others it is another', async () => {
  const { version, path } = await follow({ m: { onnx: identity('FP32') } });
  const before = version('m');
  await writeFile(path('m', '1', 'model.onnx.data'), 'weights');
  await expect.poll(() => version('m').served.besides).toMatch(/^[0-9a-f]{64}$/);
  expect(version('m').served.digest).toBe(before.served.digest);
  expect(version('m').fingerprint).not.toBe(before.fingerprint);
  expect(await readFile(join(dirname(version('m').file), 'model.onnx.data'), 'utf8')).toBe('weights');
});

test('weights in folders of a version belong to the model as well; links that lead nowhere or round are passed over', async () => {
  const { path, version, served, faults, write } = await follow({ m: { onnx: identity('FP32') } });
  const onnx = onnxModel({
    inputs: [value('x', 'FP32', ['batch', 1])],
    outputs: [value('y', 'FP32', ['batch', 1])],
    nodes: [{ op: 'Mul', inputs: ['x', 'w'], outputs: ['y'] }],
    initializers: [{ ...floats('w', [2]), location: 'weights/w.bin' }],
  });
  const weights = path('deep', '1', 'weights');
  await mkdir(weights, { recursive: true });
  await writeFile(join(weights, 'w.bin'), Buffer.from(Float32Array.of(2).buffer));
  await symlink('..', join(weights, 'round'));
  await symlink('nowhere', path('deep', '1', 'README'));
  await write('deep', { onnx });
  await expect.poll(served).toEqual(['deep 1', 'm 1']);
  expect(faults()).toEqual([]);
  const before = version('deep');
  await writeFile(join(weights, 'w.bin'), Buffer.from(Float32Array.of(3).buffer));
  await expect.poll(() => version('deep').fingerprint).not.toBe(before.fingerprint);
});

test('a directory of models that is away for a while withdraws nothing', async () => {
  const { path, served, faults } = await follow({ m: { onnx: identity('FP32') } });
  await rename(path(), `${path()}-away`);
  await expect.poll(faults).toEqual([expect.stringContaining('no such file or directory')]);
  expect(served()).toEqual(['m 1']);
  await rename(`${path()}-away`, path());
  await expect.poll(faults).toEqual([]);
  expect(served()).toEqual(['m 1']);
});

test('the copies of a repository go with it', async () => {
  const { repository, version } = await follow({ m: { onnx: identity('FP32') } });
  const { file } = version('m');
  await repository.close();
  await expect(stat(file)).rejects.toThrow('ENOENT');
});

test('a copy that somebody has cleared away is made again, in its old place', async () => {
  const { repository, version } = await follow({ m: { onnx: identity('FP32') } });
  const before = version('m');
  const copies = dirname(dirname(before.file));
  // In one step: what is removed bit by bit is mended meanwhile.
  await rename(copies, `${copies}-away`);
  await rm(`${copies}-away`, { recursive: true });
  await expect.poll(() => stat(before.file).catch(() => undefined)).toBeDefined();
  expect(version('m')).toMatchObject({ file: before.file, fingerprint: before.fingerprint });
  expect(repository.faults()).toEqual([]);
  expect((await stat(copies)).mode & 0o777).toBe(0o700);
});

test('the default version is the newest, or the one that the manifest names, as long as it is there', async () => {
  const { write, path, faults, repository } = await follow({ m: { onnx: { 1: identity('FP32'), 2: add() } } });
  const byDefault = () =>
    findModel(
      repository.models().map(({ served }) => served),
      'm',
    )?.version;
  expect(byDefault()).toBe('2');
  await write('m', { onnx: {}, manifest: { defaultVersion: '1' } });
  await expect.poll(byDefault).toBe('1');
  await write('m', { onnx: { 3: signs() } });
  await expect.poll(() => repository.models()).toHaveLength(3);
  expect(byDefault()).toBe('1');
  await rm(path('m', '1'), { recursive: true });
  await expect.poll(byDefault).toBe('3');
  await expect.poll(faults).toEqual([expect.stringContaining('m/model.json: defaultVersion: version 1 is missing')]);
  await write('m', { onnx: {}, manifest: { defaultVersion: 'latest' } });
  await expect.poll(faults).toEqual([]);
  expect(byDefault()).toBe('3');
});
