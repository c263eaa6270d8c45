import { expect, test, vi } from 'vitest';
import { startCase } from '../support/fault-case.ts';
import { startFleet, useFleetServers } from '../support/fleet.ts';
import { slowSample } from '../support/samples.ts';

const QUEUED = 200;
/** Some two seconds: time enough to pause the worker in. */
const MANY_ROUNDS = 2_000_000;

const servers = useFleetServers();

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
