import { expect, test, vi } from 'vitest';
import { startCase } from '../support/fault-case.ts';
import { startFleet, useFleetServers } from '../support/fleet.ts';
import { cpuTicks, inferencePids } from '../support/processes.ts';
import { slowSample } from '../support/samples.ts';

const TASKS = 1_000;
/** Microseconds of work, about, for a batch: a few seconds for all. */
const ROUNDS = { min: 40_000, max: 80_000 };

const servers = useFleetServers();

test('of 1,000 tasks in the middle of which one of two workers is killed, each succeeds, is right, and is told once', async (context) => {
  const it = startCase(context, '1a SIGKILL one of two workers');
  const fleet = await startFleet(servers(), { workers: 2 });
  const samples = Array.from({ length: TASKS }, () => slowSample(it.random.integer(ROUNDS.min, ROUNDS.max)));
  const ids = await it.submitAll(fleet.client(), samples);
  it.subscribe(ids, fleet.client);
  for (const id of it.random.some(50, ids)) it.subscribe([id], fleet.client);

  await it.told(it.random.integer(1, TASKS / 4));
  const [killed, survivor] = fleet.workers;
  const orphaned = killed ? await inferencePids(killed) : [];
  await killed?.kill('SIGKILL');

  const ended = await it.verify(fleet.client(), { withinMs: 40_000 });
  expect(survivor?.isAlive()).toBe(true);
  // Some were in the killed worker's hands: they ran a second time.
  const attempts = [...ended.values()].map((task) => task.attempts);
  expect(Math.max(...attempts)).toBe(2);
  // An inference process ends with its worker.
  expect(orphaned).toHaveLength(1);
  for (const pid of orphaned) await vi.waitFor(async () => expect(await cpuTicks(pid)).toBeUndefined(), 10_000);
});
