import { createHash } from 'node:crypto';
import { rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { Client } from '../support/client.ts';
import { startFleet, usePrivateServers } from '../support/fleet.ts';
import { writeModel } from '../support/model-files.ts';
import { modelsDir } from '../support/models-dir.ts';
import { shifted, signs } from '../support/onnx-models.ts';
import { type RunningProcess, startProcess } from '../support/processes.ts';

interface Ended {
  id: string;
  state: string;
  error: { message: string } | null;
  model: { digest: string; version: string };
  prediction: { outputs: { floats: number[] }[] } | null;
}

interface Found {
  digest: string;
  versions: string[];
  workers: number;
  fault: string | null;
}

const X = 0.5;
const SUBMIT = `mutation ($inputs: [PredictionInput!]!, $options: SubmitOptions) {
  submitPredictions(inputs: $inputs, options: $options) { id } }`;
const ENDED = `subscription ($ids: [ID!]!) { tasksCompleted(ids: $ids) { id state error { message }
  model { digest version } prediction { ... on TensorsPrediction { outputs { floats } } } } }`;
const TYPED = `mutation ($x: Float!) { submitPrediction(input: { other: { x: $x } }, options: { waitMs: 30000 }) {
  prediction { ... on OtherPrediction { y } } } }`;
const FOUND = 'query ($name: String!) { model(name: $name) { digest versions workers fault } }';

const digestOf = (content: Buffer) => createHash('sha256').update(content).digest('hex');
const input = {
  tensors: { model: 'm', inputs: [{ name: 'x', datatype: 'FP32', shape: [1, 1], data: { floats: [X] } }] },
};

/** Replaces, breaks, mends, adds and removes models under a service that is in steady use, and looks at every task. */
async function changeUnderLoad(directory: string, client: Client, workers: number): Promise<void> {
  const shifts = new Map<string, number>();
  const content = (by: number) => {
    const onnx = shifted(by);
    shifts.set(digestOf(onnx), by);
    return onnx;
  };
  const file = (version: string) => join(directory, 'm', version, 'model.onnx');
  const found = async (name = 'm') => (await client.get<{ model: Found | null }>(FOUND, { name })).model;
  const finds = (expected: Partial<Found> | null, name?: string) =>
    expect.poll(() => found(name), { timeout: 30_000 }).toEqual(expected && expect.objectContaining(expected));

  content(1);
  const ids: string[] = [];
  const submit = async (options = {}) => {
    const { submitPredictions } = await client.get<{ submitPredictions: { id: string }[] }>(SUBMIT, {
      inputs: Array.from({ length: 5 }, () => input),
      options,
    });
    ids.push(...submitPredictions.map(({ id }) => id));
  };
  const done = new AbortController();
  const load = async () => {
    while (!done.signal.aborted) await submit();
  };
  const change = async () => {
    await finds({ digest: digestOf(shifted(1)), workers, versions: ['1'] });
    // In place, as `cp` does it.
    await writeFile(file('1'), content(2));
    await finds({ digest: digestOf(shifted(2)), workers });
    // By a rename, as rsync does it.
    await writeFile(`${file('1')}.new`, content(3));
    await rename(`${file('1')}.new`, file('1'));
    await finds({ digest: digestOf(shifted(3)), workers });
    await writeFile(file('1'), shifted(4).subarray(0, 50));
    await finds({ digest: digestOf(shifted(3)), workers, fault: expect.stringMatching(/^m\/1\/model.onnx: /) });
    await writeModel(directory, 'm', { onnx: { 2: content(5) } });
    await writeModel(directory, 'other', { onnx: signs() });
    await finds({ digest: digestOf(shifted(5)), workers, versions: ['2', '1'], fault: null });
    await finds({ workers }, 'other');
    expect(await client.get(TYPED, { x: -1 })).toEqual({ submitPrediction: { prediction: { y: '0' } } });
    await submit({ version: '1' });
    await rm(join(directory, 'm', '1'), { recursive: true });
    await rm(join(directory, 'other'), { recursive: true });
    await finds({ versions: ['2'] });
    await finds(null, 'other');
    await expect(client.get(TYPED, { x: -1 })).rejects.toThrow(/other/);
  };
  await Promise.all([load(), change().finally(() => done.abort())]);

  const ended: Ended[] = [];
  for (let i = 0; i < ids.length; i += 1_000) {
    for await (const task of client.stream<Ended>('tasksCompleted', ENDED, { ids: ids.slice(i, i + 1_000) })) {
      ended.push(task);
    }
  }
  expect(new Set(ended.map(({ id }) => id))).toEqual(new Set(ids));
  expect(ended.filter(({ state }) => state !== 'SUCCEEDED')).toEqual([]);
  for (const { prediction, model } of ended) {
    expect(prediction?.outputs[0]?.floats).toEqual([X + (shifts.get(model.digest) ?? Number.NaN)]);
  }
  // Some were submitted for each of them.
  expect(new Set(ended.map(({ model }) => model.digest))).toEqual(new Set(shifts.keys()));
}

const servers = usePrivateServers();

test('models that are replaced, broken, added and removed under load fail no task, on RabbitMQ and Redis', async () => {
  const directory = await modelsDir({ m: { onnx: shifted(1) } });
  const fleet = await startFleet(servers(), { workers: 2, settings: { MODELS_DIR: directory } });
  await changeUnderLoad(directory, fleet.client(), 2);
  const logs = [...fleet.apis, ...fleet.workers].map((each: RunningProcess) => each.output()).join('\n');
  expect(logs).not.toMatch(/"level":50/);
});

test('models that are replaced, broken, added and removed under load fail no task, in one process', async () => {
  const directory = await modelsDir({ m: { onnx: shifted(1) } });
  const service = await startProcess('start', { MODELS_DIR: directory, WORKER_SLOTS: '1' });
  await service.ready();
  await changeUnderLoad(directory, new Client(service.url), 1);
  expect(service.output()).not.toMatch(/"level":50/);
});
