import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { startCase } from '../support/fault-case.ts';
import { startFleet, usePrivateServers } from '../support/fleet.ts';
import { slowSample } from '../support/samples.ts';

const TASKS = 500;
/** Long enough for everybody to notice. */
const AWAY_MS = 1_000;

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
