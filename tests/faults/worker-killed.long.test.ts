import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test, vi } from 'vitest';
import { startCase } from '../support/fault-case.ts';
import { startFleet, usePrivateServers } from '../support/fleet.ts';
import { cpuTicks, inferencePids } from '../support/processes.ts';
import { slowSample } from '../support/samples.ts';

const TASKS = 1_000;
const AWAY_MS = 10_000;
/** Time enough to submit some more. */
const SOME_ROUNDS = 600_000;
/** About a second: time enough to die in. */
const MANY_ROUNDS = 1_000_000;
const SHARING = 4;
const WHILE_BUSY = { timeout: 30_000, interval: 5 };

const servers = usePrivateServers();

test('of 1,000 tasks whose workers are all killed and come back ten seconds later, each succeeds, is right, and is told once', async (context) => {
  const it = startCase(context, '1b SIGKILL all workers, back after 10 s');
  const fleet = await startFleet(servers(), { workers: 2 });
  const samples = Array.from({ length: TASKS }, () => slowSample(it.random.integer(10_000, 40_000)));
  const ids = await it.submitAll(fleet.client(), samples);
  it.subscribe(ids, fleet.client);

  await it.told(it.random.integer(1, TASKS / 2));
  await Promise.all(fleet.workers.map((worker) => worker.kill('SIGKILL')));
  // Some subscribe while nobody works.
  for (const id of it.random.some(50, ids)) it.subscribe([id], fleet.client);
  await sleep(AWAY_MS);
  await Promise.all([fleet.startWorker(), fleet.startWorker()]);

  await it.verify(fleet.client(), { withinMs: 90_000 });
});

test('tasks whose inference process is killed in the middle of their batch succeed all the same, in the same worker', async (context) => {
  const it = startCase(context, '1c SIGKILL an inference process in mid-batch');
  const fleet = await startFleet(servers());
  const [worker] = fleet.workers;
  if (!worker) throw new Error('expected a worker');
  const [victim = -1, ...others] = await inferencePids(worker);
  expect(others).toEqual([]);

  // Those that share a run gather while the first runs alone.
  const [first = ''] = await it.submitAll(fleet.client(), [slowSample(SOME_ROUNDS)]);
  it.subscribe([first], fleet.client);
  const sharing = Array.from({ length: SHARING }, (_, i) => slowSample(MANY_ROUNDS + i));
  it.subscribe(await it.submitAll(fleet.client(), sharing), fleet.client);
  await it.told(1);
  const before = (await cpuTicks(victim)) ?? 0;
  const work = it.random.integer(5, 15);
  await vi.waitFor(async () => expect(await cpuTicks(victim)).toBeGreaterThan(before + work), WHILE_BUSY);
  process.kill(victim, 'SIGKILL');

  await it.verify(fleet.client(), { withinMs: 40_000 });
  await worker.line(/batch failed, its tasks run alone/);
  expect(await inferencePids(worker)).not.toContain(victim);
  expect(worker.isAlive()).toBe(true);
});
