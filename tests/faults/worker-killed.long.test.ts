import { setTimeout as sleep } from 'node:timers/promises';
import { test } from 'vitest';
import { startCase } from '../support/fault-case.ts';
import { startFleet, usePrivateServers } from '../support/fleet.ts';
import { slowSample } from '../support/samples.ts';

const TASKS = 1_000;
const AWAY_MS = 10_000;

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
