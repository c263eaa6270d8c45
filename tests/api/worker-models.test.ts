import { readFileSync } from 'node:fs';
import { expect, onTestFinished, test } from 'vitest';
import { ConfigError } from '../../src/config.ts';
import { createLog } from '../../src/log.ts';
import { createInferencePool } from '../../workers/inference/inference-pool.ts';
import { openModelRepository } from '../../workers/repository/model-repository.ts';
import { FLOWER } from '../support/models.ts';
import { modelsDir } from '../support/models-dir.ts';
import { betrayed, identity, MAGIC } from '../support/onnx-models.ts';
import { predictTyped } from '../support/predictions.ts';
import { type Service, startService, useServers } from '../support/service.ts';
import { createTestLog } from '../support/test-log.ts';

const servers = useServers('RabbitMQ and Redis');

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
  const unbatched = expect.stringContaining('did not get what it gets alone: FP32 output "y"');
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
    const said = { level: 'warn', message: 'WORKER_MODELS names models that are not there' };
    expect(log.lines('warn')).toEqual([{ ...said, fields: { missing: ['wrong'], there: ['left', 'right'] } }]);
    await expect(read(['wrong'])).rejects.toThrow(ConfigError);
    await expect(read(['wrong'])).rejects.toThrow(
      'WORKER_MODELS: none of the models wrong is in MODELS_DIR; there are left, right',
    );
  } finally {
    await pool.close();
  }
});
