import fc from 'fast-check';
import { expect, test } from 'vitest';
import { scenario } from './scenario.ts';
import { simulate } from './world.ts';
import { expectPromisesKept, RUNS, SEED } from './worlds.ts';

test(`in ${RUNS} worlds where anything may fail, from seed ${SEED}, every promise is kept`, { timeout: 600_000 }, () =>
  expectPromisesKept(SEED, RUNS),
);

test('a world is the very same again', async () => {
  const twenty = fc.sample(scenario, { seed: 1, numRuns: 20 });
  const traces = async () => {
    const lines: string[] = [];
    for (const each of twenty) lines.push(...(await simulate(each, { traced: true })).trace);
    return lines;
  };
  const first = await traces();
  expect(await traces()).toEqual(first);
  expect(first.length).toBeGreaterThan(200);
});
