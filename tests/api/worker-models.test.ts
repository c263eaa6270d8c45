import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { ConfigError } from '../../src/process/config.ts';
import { createLog } from '../../src/process/log.ts';
import { createInferencePool } from '../../workers/inference/inference-pool.ts';
import { openModelRepository } from '../../workers/repository/model-repository.ts';
import { FLOWER } from '../support/models.ts';
import { modelsDir } from '../support/models-dir.ts';
import { betrayed, identity, MAGIC, slow } from '../support/onnx-models.ts';
import { predictTyped } from '../support/predictions.ts';
import { type Service, startService, useServers } from '../support/service.ts';
import { createTestLog } from '../support/test-log.ts';

const servers = useServers('RabbitMQ and Redis');

const SUBMIT_ALL = 'mutation ($inputs: [PredictionInput!]!) { submitPredictions(inputs: $inputs) { id } }';

const runsOf = async ({ metrics }: Service, model: string) => {
  const series = `foretell_run_seconds_count{model="${model}"} `;
  const line = (await metrics.exposition()).split('\n').find((each) => each.startsWith(series));
  return Number(line?.slice(series.length) ?? 0);
};

test('two workers of different models: each API types both, and each task runs where its model is', async () => {
  const iris = await startService({ servers, workerModels: ['iris'] });
  const spam = await startService({ servers, workerModels: ['spam'] });
  const served = ({ worker }: Service) => worker?.repository.models().map((model) => model.served.name);
  expect([served(iris), served(spam)]).toEqual([['iris'], ['spam']]);
  const { example } = JSON.parse(readFileSync('models/spam/model.json', 'utf8'));
  const inputs = [...Array(5).fill({ iris: FLOWER }), ...Array(5).fill({ spam: example })];
  for (const { client } of [iris, spam]) {
    const names = async () => {
      const { data } = await client.ask<{ models: { name: string }[] }>('{ models { name } }');
      return data?.models.map(({ name }) => name);
    };
    await expect.poll(names, { timeout: 30_000 }).toEqual(['iris', 'spam']);
    const tasks = await client.submitAll(inputs, { waitMs: 30_000 });
    expect(tasks.map(({ state }) => state)).toEqual(Array(10).fill('SUCCEEDED'));
  }
  expect(await runsOf(iris, 'iris')).toBeGreaterThan(0);
  expect(await runsOf(spam, 'spam')).toBeGreaterThan(0);
  expect([await runsOf(iris, 'spam'), await runsOf(spam, 'iris')]).toEqual([0, 0]);
});

test('two workers of one model: what one finds out in use ends sharing on both and after a restart, and changes no type', async () => {
  const folder = await modelsDir({ betrayed: { onnx: betrayed(), manifest: { maxDelayMs: 500 } } });
  const start = () => startService({ servers, modelsDir: folder });
  const [one, other] = [await start(), await start()];
  const shown = async ({ client }: Service) => {
    const { data } = await client.ask<{ models: { name: string; maxBatch: number; unbatched: string | null }[] }>(
      '{ models { name maxBatch unbatched } }',
    );
    return data?.models.find(({ name }) => name === 'betrayed');
  };
  for (const each of [one, other])
    await expect.poll(() => shown(each)).toMatchObject({ maxBatch: 64, unbatched: null });
  // What is submitted together goes to one worker.
  const predict = ({ client }: Service, ...rows: number[]) =>
    predictTyped<{ y: number }>(
      client,
      'betrayed',
      rows.map((x) => ({ x })),
      'y',
    );
  const mixed = await predict(one, 1, MAGIC, 2, 3);
  expect(mixed.map(({ prediction, batchSize }) => [prediction.y, batchSize])).toEqual([
    [1, 1],
    [MAGIC, 1],
    [2, 1],
    [3, 1],
  ]);
  const unbatched = expect.stringContaining('got another result than it gets alone: FP32 output "y"');
  const later = await start();
  for (const each of [one, other, later]) {
    await expect.poll(() => shown(each), { timeout: 10_000 }).toMatchObject({ maxBatch: 1, unbatched });
    expect(await predict(each, 4, 5)).toMatchObject([4, 5].map((y) => ({ prediction: { y }, batchSize: 1 })));
  }
  const metrics = await Promise.all([one, other].map((each) => each.metrics.exposition()));
  expect(
    metrics
      .join('\n')
      .match(/^foretell_sharing_ended_total{model="betrayed"} \d/gm)
      ?.toSorted(),
  ).toEqual(['foretell_sharing_ended_total{model="betrayed"} 0', 'foretell_sharing_ended_total{model="betrayed"} 1']);
});

test('a name that is not there is one warning, and no worker starts with none that is', async () => {
  const folder = await modelsDir({ left: { onnx: identity('FP32') }, right: { onnx: identity('FP32') } });
  const pool = createInferencePool({ slots: 1, log: createLog('silent', 'test') });
  const log = createTestLog();
  const read = (chosen: string[]) => openModelRepository({ modelsDir: folder, chosen, pool, log });
  try {
    const repository = await read(['right', 'wrong']);
    onTestFinished(() => repository.close());
    expect(repository.models().map(({ served }) => served.name)).toEqual(['right']);
    const said = { level: 'warn', message: 'WORKER_MODELS names models that MODELS_DIR does not have' };
    expect(log.lines('warn')).toEqual([{ ...said, fields: { missing: ['wrong'], there: ['left', 'right'] } }]);
    await expect(read(['wrong'])).rejects.toThrow(ConfigError);
    await expect(read(['wrong'])).rejects.toThrow(
      'WORKER_MODELS: MODELS_DIR has none of the models wrong; it has left, right',
    );
  } finally {
    await pool.close();
  }
});

describe('limits that shrink while a worker runs hold at once', () => {
  /** What it may hold of a model that begins one task in five seconds: one of each lane, and the four of one message. */
  const HELD_MAX = 6;
  const LIMITS = '{ "maxStartsPerSecond": 0.2, "maxWaiting": 3 }';
  const start = async () => {
    const name = `slow${randomUUID().replaceAll('-', '')}`;
    const folder = await modelsDir({ [name]: { onnx: slow() } });
    const service = await startService({ servers, modelsDir: folder, workerSlots: 1, graceMs: 2_000 });
    const query = `mutation ($input: PredictionInput!, $options: SubmitOptions) {
      submitPrediction(input: $input, options: $options) { id } }`;
    /** How many are accepted of so many at once. */
    const submit = async (count: number, rounds = '1', waitMs = 0) => {
      const one = () => service.client.ask<unknown>(query, { input: { [name]: { rounds } }, options: { waitMs } });
      return (await Promise.all(Array.from({ length: count }, one))).filter(({ errors }) => !errors).length;
    };
    const limit = async () => {
      await writeFile(join(folder, name, 'model.json'), LIMITS);
      await expect.poll(() => service.registry.list().find((model) => model.name === name)?.maxWaiting).toBe(3);
    };
    /** How many wait, as an API says that refuses more than may ever wait. */
    const figure = async () => {
      const inputs = Array(4).fill({ [name]: { rounds: '1' } });
      const { errors } = await service.client.ask(SUBMIT_ALL, { inputs });
      return (errors?.[0]?.extensions as { waiting?: number } | undefined)?.waiting;
    };
    return { service, submit, limit, figure, waiting: () => service.waiting(name) };
  };

  test('what a worker holds beyond them goes back and waits, so there is no room for more', async () => {
    const { service, submit, limit } = await start();
    // One that runs for hours, and some that the worker takes meanwhile.
    expect(await submit(1, '20000000000')).toBe(1);
    await expect.poll(() => inHand(service)).toBe(1);
    expect(await submit(40)).toBe(40);
    await expect.poll(() => inHand(service)).toBe(41);
    await limit();
    await expect.poll(() => inHand(service)).toBeLessThanOrEqual(HELD_MAX + 1);
    expect(await submit(50)).toBeLessThanOrEqual(3 + HELD_MAX);
  });

  test('an idle worker takes no more than they allow', async () => {
    const { submit, limit, figure, waiting } = await start();
    expect(await submit(1, '1', 30_000)).toBe(1);
    await limit();
    const most = 3 + 1 + HELD_MAX;
    let accepted = 0;
    // One by one, until the refusal is by the figure of a queue that is full at present: an older one would hide what the worker took.
    const isFull = async () => {
      const taken = await submit(1);
      accepted += taken;
      return accepted > most || (taken === 0 && (await figure()) === 3 && (await waiting()) === 3);
    };
    await expect.poll(isFull).toBe(true);
    expect(accepted).toBeGreaterThanOrEqual(3);
    expect(accepted).toBeLessThanOrEqual(most);
  });
});

async function inHand({ metrics }: Service): Promise<number> {
  const line = (await metrics.exposition()).split('\n').find((each) => each.startsWith('foretell_held_deliveries '));
  return Number(line?.split(' ')[1]);
}
