import { mkdir, readdir, rm, truncate, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { RunError } from '../../workers/inference/run-error.ts';
import type { ModelPool } from '../../workers/repository/model-loading.ts';
import { openModelRepository } from '../../workers/repository/model-repository.ts';
import { nextRetry } from '../../workers/repository/retry.ts';
import { writeModel } from '../support/model-files.ts';
import { modelsDir } from '../support/models-dir.ts';
import { identity } from '../support/onnx-models.ts';
import { createTestLog } from '../support/test-log.ts';

const SIGNATURE = {
  inputs: [{ name: 'x', datatype: 'FP32' as const, dimensions: ['batch', 4] }],
  outputs: [{ name: 'y', datatype: 'FP32' as const, dimensions: ['batch', 4] }],
  leftOut: [],
};

/** Follows a directory with `m` in it; what inspecting does is the test's. */
async function follow(inspect: ModelPool['inspect']) {
  const directory = await modelsDir({ m: { onnx: identity('FP32') } });
  const log = createTestLog();
  const pool = {
    inspect,
    probe: async () => ({ faults: [], tookMs: 0 }),
    prove: async () => ({ finding: 'independent' as const }),
    warmUp: async () => undefined,
    coolDown: () => undefined,
  };
  const repository = await openModelRepository({ modelsDir: directory, pool, log, pollMs: 5, retryMs: 5 });
  onTestFinished(repository.close);
  const served = () => repository.models().map(({ served: { name, version } }) => `${name} ${version}`);
  return { directory, log, repository, served };
}

test.each([
  new RunError('WORKER_LOST', 'the inference process was lost: ended by SIGKILL'),
  new RunError('TIMEOUT', 'accepting the run took longer than 10000 ms'),
  new RunError('MODEL_ERROR', 'the model could not be loaded: std::bad_alloc'),
  Object.assign(new Error('EMFILE: too many open files'), { code: 'EMFILE' }),
])('what failed for no fault of the files is tried again, and said once: %s', async (error) => {
  let failures = 0;
  const { log, repository, served } = await follow(async () => {
    failures += 1;
    if (failures <= 3) throw error;
    return SIGNATURE;
  });
  expect(repository.faults()).toMatchObject([{ message: expect.stringContaining(error.message) }]);
  await expect.poll(served).toEqual(['m 1']);
  expect(repository.faults()).toEqual([]);
  expect(failures).toBe(4);
  expect(log.lines('warn')).toHaveLength(1);
});

test('a copy that is cleared away while it is being inspected is made again', async () => {
  const { repository, served } = await follow(async ({ file }) => {
    if (basename(dirname(file)) !== '1') return SIGNATURE;
    await rm(dirname(file), { recursive: true });
    throw new RunError(
      'MODEL_ERROR',
      "the model could not be loaded: ENOENT: no such file or directory, stat 'model.onnx'",
    );
  });
  expect(repository.faults()).toHaveLength(1);
  await expect.poll(served).toEqual(['m 1']);
});

test("what is wrong with the file is not tried again until the file is another's", async () => {
  let asked = 0;
  const { directory, served } = await follow(async () => {
    asked += 1;
    if (asked > 2) return SIGNATURE;
    throw new RunError('MODEL_ERROR', 'the model could not be loaded: Protobuf parsing failed.');
  });
  // Others come and are refused or taken meanwhile.
  await writeModel(directory, 'n', { onnx: identity('FP32') });
  await expect.poll(() => asked).toBe(2);
  await writeModel(directory, 'o', { onnx: identity('FP32') });
  await expect.poll(served).toEqual(['o 1']);
  expect(asked).toBe(3);
});

test('the pause grows with each failure up to a minute, and with what an attempt takes', () => {
  const pauses = (tookMs: number) => {
    let retry = nextRetry(undefined, { tookMs, retryMs: 2_000 });
    return Array.from({ length: 7 }, () => {
      const pauseMs = retry.at - Date.now();
      retry = nextRetry(retry, { tookMs, retryMs: 2_000 });
      return Math.round(pauseMs / 1_000);
    });
  };
  expect(pauses(100)).toEqual([2, 4, 8, 16, 32, 60, 60]);
  expect(pauses(30_000)).toEqual([300, 300, 300, 300, 300, 300, 300]);
});

test('a model that takes long to load keeps no other from being taken or withdrawn', async () => {
  const loading = Promise.withResolvers<void>();
  let asked = 0;
  const { directory, repository, served } = await follow(async () => {
    asked += 1;
    if (asked === 2) await loading.promise;
    return SIGNATURE;
  });
  let changes = 0;
  repository.watch(() => {
    changes += 1;
  });
  await writeModel(directory, 'slow', { onnx: identity('FP32') });
  await expect.poll(() => asked).toBe(2);
  await writeModel(directory, 'quick', { onnx: identity('FP32') });
  await rm(join(directory, 'm'), { recursive: true });
  await expect.poll(served, { timeout: 10_000 }).toEqual(['quick 1']);
  await expect.poll(() => changes).toBeGreaterThan(0);
  loading.resolve();
  await expect.poll(served).toEqual(['quick 1', 'slow 1']);
});

test('a repository that is closed while it reads a large file ends at once, and leaves no copy', async () => {
  const { directory, repository, log } = await follow(async () => SIGNATURE);
  const [copies] = repository.models().map(({ file }) => dirname(dirname(file)));
  await mkdir(join(directory, 'large', '1'), { recursive: true });
  const file = join(directory, 'large', '1', 'model.onnx');
  await writeFile(file, '');
  // More than can be read within the time of the test, and nothing on the disk.
  await truncate(file, 40 * 1024 ** 3);
  await expect.poll(() => readdir(copies ?? '')).toHaveLength(2);
  await repository.close();
  await expect(readdir(copies ?? '')).rejects.toThrow('ENOENT');
  expect(log.lines('warn')).toEqual([]);
});
