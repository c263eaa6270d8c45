import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { type FaultCase, startCase } from '../support/fault-case.ts';
import { type Fleet, startFleet, usePrivateServers } from '../support/fleet.ts';
import type { RunningProcess } from '../support/processes.ts';
import { slowSample } from '../support/samples.ts';

const TASKS = 400;
const GRACE_MS = 10_000;
const AT_ONCE_MS = 2_000;
/** Some five seconds: longer than the patience of whoever signals twice. */
const LONG_ROUNDS = 5_000_000;

const servers = usePrivateServers();

/** Submits to the first API and subscribes there, or, once that has ended, at the second. */
async function submitSome(it: FaultCase, fleet: Fleet): Promise<void> {
  const samples = Array.from({ length: TASKS }, () => slowSample(it.random.integer(20_000, 60_000)));
  const ids = await it.submitAll(fleet.client(), samples);
  const clientOf = () => fleet.client(fleet.apis.findIndex((api) => api.isAlive()));
  it.subscribe(ids, clientOf);
  for (const id of it.random.some(100, ids)) it.subscribe([id], clientOf);
}

async function terminate(terminated: RunningProcess | undefined) {
  const begunAt = performance.now();
  const code = await terminated?.kill('SIGTERM');
  return { code, tookMs: performance.now() - begunAt };
}

test('a worker that is told to end under load ends in time, and its tasks lose nothing, not even an attempt', async (context) => {
  const it = startCase(context, '8 SIGTERM to one of two workers under load');
  const fleet = await startFleet(servers(), { workers: 2 });
  await submitSome(it, fleet);
  await it.told(it.random.integer(1, TASKS / 2));
  const { code, tookMs } = await terminate(fleet.workers[0]);
  expect(code).toBe(0);
  expect(tookMs).toBeLessThan(GRACE_MS);
  const ended = await it.verify(fleet.client(), { withinMs: 30_000 });
  expect(new Set([...ended.values()].map(({ attempts }) => attempts))).toEqual(new Set([1]));
});

test('an API that is told to end under load ends in time, and its subscribers are told by another', async (context) => {
  const it = startCase(context, '8 SIGTERM to one of two APIs under load');
  const fleet = await startFleet(servers(), { apis: 2 });
  await submitSome(it, fleet);
  await it.told(it.random.integer(1, TASKS / 2));
  const submitting = Array.from({ length: 50 }, () => it.submit(fleet.client(), slowSample(1)));
  const { code, tookMs } = await terminate(fleet.apis[0]);
  expect(code).toBe(0);
  expect(tookMs).toBeLessThan(GRACE_MS);
  await Promise.all(submitting);
  await it.verify(fleet.client(1), { withinMs: 30_000 });
});

test('a second SIGTERM, a second later, ends a worker at once, and what it ran runs again elsewhere', async (context) => {
  const it = startCase(context, '8 SIGTERM twice');
  const fleet = await startFleet(servers());
  const [worker] = fleet.workers;
  const [id = ''] = await it.submitAll(fleet.client(), [slowSample(LONG_ROUNDS)]);
  it.subscribe([id], fleet.client);
  const read = () => fleet.client().get('query ($id: ID!) { result(id: $id) { state } }', { id });
  await expect.poll(read, { timeout: 10_000 }).toEqual({ result: { state: 'RUNNING' } });

  const first = worker?.kill('SIGTERM');
  await worker?.line(/closing/);
  // One that comes sooner is the same Ctrl-C.
  await sleep(1_100);
  const { code, tookMs } = await terminate(worker);
  expect(code).toBe(1);
  expect(await first).toBe(1);
  expect(tookMs).toBeLessThan(AT_ONCE_MS);
  await fleet.startWorker();
  const ended = await it.verify(fleet.client(), { withinMs: 30_000 });
  expect(ended.get(id)).toMatchObject({ attempts: 2 });
});
