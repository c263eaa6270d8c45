import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test, vi } from 'vitest';
import { startCase } from '../support/fault-case.ts';
import { startFleet, usePrivateServers } from '../support/fleet.ts';
import { slowSample } from '../support/samples.ts';

const TASKS = 500;
/** Long enough for everybody to notice. */
const AWAY_MS = 1_000;
const QUEUED = 200;
/** Some two seconds: time enough to pause the worker in. */
const MANY_ROUNDS = 2_000_000;

const servers = usePrivateServers();

test('of 500 tasks in the middle of which Redis is killed and restarted, each succeeds, is right, and is told once', async (context) => {
  const it = startCase(context, '3a SIGKILL Redis between enqueue and completion');
  const fleet = await startFleet(servers(), { workers: 2 });
  const samples = Array.from({ length: TASKS }, () => slowSample(it.random.integer(20_000, 60_000)));
  const ids = await it.submitAll(fleet.client(), samples);
  it.subscribe(ids, fleet.client);
  for (const id of it.random.some(50, ids)) it.subscribe([id], fleet.client);

  await it.told(it.random.integer(1, TASKS / 4));
  await fleet.redis.kill();
  // Some subscribe while it is away.
  for (const id of it.random.some(20, ids)) it.subscribe([id], fleet.client);
  await sleep(AWAY_MS);
  await fleet.redis.start();

  await it.verify(fleet.client(), { withinMs: 40_000 });
  await fleet.ready();
  expect([...fleet.apis, ...fleet.workers].every((each) => each.isAlive())).toBe(true);
});

test('tasks that were queued, or ran, when Redis lost everything succeed, and whoever had subscribed before is told', async (context) => {
  const it = startCase(context, '3b FLUSHALL with 200 queued');
  const fleet = await startFleet(servers());
  const [worker] = fleet.workers;
  if (!worker) throw new Error('expected a worker');
  const [running = ''] = await it.submitAll(fleet.client(), [slowSample(MANY_ROUNDS)]);
  const read = () => fleet.client().get('query ($id: ID!) { result(id: $id) { state } }', { id: running });
  await vi.waitFor(async () => expect(await read()).toEqual({ result: { state: 'RUNNING' } }), 30_000);
  // Until it goes on, nothing ends and nothing is begun.
  worker.pause();
  const samples = Array.from({ length: QUEUED }, () => slowSample(it.random.integer(1_000, 20_000)));
  const ids = await it.submitAll(fleet.client(), samples);
  it.subscribe([running], fleet.client);
  it.subscribe(ids, fleet.client);
  for (const id of it.random.some(50, ids)) it.subscribe([id], fleet.client);
  await it.listening();
  expect(await read()).toEqual({ result: { state: 'RUNNING' } });

  expect(await fleet.redis.cli('FLUSHALL')).toBe('OK');

  // A task is unknown until its worker writes its record anew.
  expect(await read()).toEqual({ result: null });
  worker.resume();
  await it.verify(fleet.client(), { withinMs: 40_000 });
});
