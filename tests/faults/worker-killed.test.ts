import { readFileSync } from 'node:fs';
import { expect, test, vi } from 'vitest';
import { Client, type TaskAnswer } from '../support/client.ts';
import { modelsDir } from '../support/models-dir.ts';
import { slow } from '../support/onnx-models.ts';
import { cpuTicks, inferencePids, startProcess } from '../support/processes.ts';
import { useServers } from '../support/service.ts';

const TASKS = 200;
/** About 20 milliseconds of work. */
const ROUNDS = 20_000;
/** About a second: time enough to die in. */
const MANY_ROUNDS = 1_000_000;

const servers = useServers('RabbitMQ and Redis');

/** One API and some workers, as processes of their own, whose models are a slow one and the one that the client's queries name. */
async function startFleet(workerCount: number) {
  const settings = {
    BROKER_URL: servers.brokerUrl,
    STORE_URL: servers.storeUrl,
    WORKER_SLOTS: '1',
    MODELS_DIR: await modelsDir({
      slow: { onnx: slow(), manifest: { maxBatch: 4 } },
      iris: {
        onnx: readFileSync('models/iris/1/model.onnx'),
        manifest: readFileSync('models/iris/model.json', 'utf8'),
      },
    }),
  };
  const [api, ...workers] = await Promise.all([
    startProcess('api', settings),
    ...Array.from({ length: workerCount }, () => startProcess('worker', settings)),
  ]);
  await Promise.all([api, ...workers].map((each) => each.ready()));
  return { client: new Client(api.url), workers };
}

const slowInput = (rounds: number) => ({
  tensors: {
    model: 'slow',
    inputs: [{ name: 'rounds', datatype: 'INT64', shape: [1], data: { longs: [String(rounds)] } }],
  },
});

const roundsOf = ({ prediction }: TaskAnswer) => (prediction as { outputs: { longs: string[] }[] }).outputs[0]?.longs;

test('of 200 tasks in the middle of which a worker is killed, each succeeds, is right, and is told once', async () => {
  const { client, workers } = await startFleet(2);
  const tasks = await client.submitAll(Array.from({ length: TASKS }, (_, i) => slowInput(ROUNDS + i)));
  const ids = tasks.map(({ id }) => id);
  const [killed, survivor] = workers;
  const orphaned = killed ? await inferencePids(killed) : [];

  const told: TaskAnswer[] = [];
  const query = `subscription ($ids: [ID!]!) { tasksCompleted(ids: $ids) {
    id state attempts prediction { ... on TensorsPrediction { outputs { longs } } } } }`;
  for await (const task of client.stream('tasksCompleted', query, { ids })) {
    told.push(task);
    if (told.length === 20) await killed?.kill('SIGKILL');
  }

  expect(killed?.isAlive()).toBe(false);
  expect(survivor?.isAlive()).toBe(true);
  expect(told).toHaveLength(TASKS);
  expect(new Set(told.map(({ id }) => id))).toEqual(new Set(ids));
  expect(told.map(({ state }) => state)).toEqual(Array(TASKS).fill('SUCCEEDED'));
  for (const task of told) expect(roundsOf(task)).toEqual([String(ROUNDS + ids.indexOf(task.id))]);
  // Some were in the killed worker's hands: they ran a second time.
  expect(told.some(({ attempts }) => attempts > 1)).toBe(true);
  expect(Math.max(...told.map(({ attempts }) => attempts))).toBe(2);
  // An inference process ends with its worker.
  expect(orphaned).toHaveLength(1);
  for (const pid of orphaned) await vi.waitFor(async () => expect(await cpuTicks(pid)).toBeUndefined(), 10_000);
});

test('a task whose inference process is killed in mid-run completes all the same, in the same worker', async () => {
  const { client, workers } = await startFleet(1);
  const worker = workers[0];
  if (!worker) throw new Error('expected a worker');
  const [victim = -1, ...others] = await inferencePids(worker);
  expect(others).toEqual([]);
  const idle = (await cpuTicks(victim)) ?? 0;

  const { id } = await client.submit(slowInput(MANY_ROUNDS));
  const completed = client.completed(id);
  await vi.waitFor(async () => expect(await cpuTicks(victim)).toBeGreaterThan(idle + 10), {
    timeout: 30_000,
    interval: 5,
  });
  process.kill(victim, 'SIGKILL');

  const [task] = await completed;
  expect(task).toMatchObject({ id, state: 'SUCCEEDED', attempts: 2, error: null });
  expect(task && roundsOf(task)).toEqual([String(MANY_ROUNDS)]);
  expect(worker.isAlive()).toBe(true);
  expect(await worker.line(/inference process ended/)).toContain(String(victim));
  expect(await inferencePids(worker)).not.toContain(victim);
});
