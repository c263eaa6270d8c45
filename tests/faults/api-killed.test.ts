import { expect, test } from 'vitest';
import { startCase } from '../support/fault-case.ts';
import { startFleet, useFleetServers } from '../support/fleet.ts';
import { slowSample } from '../support/samples.ts';

const TASKS = 300;
/** Some of the tasks are done by then. */
const OPEN_MIN = 200;

const servers = useFleetServers();

test('of 200 clients and more whose API is killed while they wait, each is told by another API', async (context) => {
  const it = startCase(context, '4 SIGKILL the API with 200 open subscriptions');
  const fleet = await startFleet(servers(), { apis: 2 });
  const [worker] = fleet.workers;
  // Nothing ends before everybody has subscribed.
  worker?.pause();
  const samples = Array.from({ length: TASKS }, () => slowSample(it.random.integer(100_000, 300_000)));
  const ids = await it.submitAll(fleet.client(), samples);
  let api = 0;
  for (const id of ids) it.subscribe([id], () => fleet.client(api));
  await it.listening();

  worker?.resume();
  await it.told(it.random.integer(1, 20));
  await fleet.apis[0]?.kill('SIGKILL');
  expect(TASKS - it.toldCount()).toBeGreaterThanOrEqual(OPEN_MIN);
  api = 1;

  await it.verify(fleet.client(1), { withinMs: 40_000 });
});
