import { expect, test } from 'vitest';
import { startCase } from '../support/fault-case.ts';
import { startFleet, useFleetServers } from '../support/fleet.ts';
import { slowSample } from '../support/samples.ts';

const TASKS = 200;
/** A run is a fraction of a second, so that every signal finds some that run and many that wait. */
const ROUNDS = { min: 20_000, max: 40_000 };
/** What a process manager gives. */
const GRACE_MS = 10_000;

const servers = useFleetServers();

test('of 200 tasks under which one of two workers is told to end, each succeeds at its first attempt, and it exits with 0', {
  timeout: 180_000,
}, async (context) => {
  const it = startCase(context, 'SIGTERM one of two workers');
  const fleet = await startFleet(servers(), { workers: 2 });
  const samples = Array.from({ length: TASKS }, () => slowSample(it.random.integer(ROUNDS.min, ROUNDS.max)));
  const ids = await it.submitAll(fleet.client(), samples);
  it.subscribe(ids, fleet.client);
  await it.told(it.random.integer(1, TASKS / 4));

  const [closed, other] = fleet.workers;
  const signalledAt = performance.now();
  // Twice, as a Ctrl-C comes from the terminal and from npm.
  process.kill(closed?.pid ?? 0, 'SIGINT');
  expect(await closed?.kill('SIGINT')).toBe(0);
  expect(performance.now() - signalledAt).toBeLessThan(GRACE_MS);

  const ended = await it.verify(fleet.client(), { withinMs: 120_000 });
  expect(new Set([...ended.values()].map(({ state, attempts }) => `${state} ${attempts}`))).toEqual(
    new Set(['SUCCEEDED 1']),
  );
  expect(other?.isAlive()).toBe(true);
  expect(closed?.output()).not.toMatch(/"level":(50|"error")|not closed in time/);
});
