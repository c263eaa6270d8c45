import fc from 'fast-check';
import { expect, test } from 'vitest';
import { brokenPromises } from './promise.ts';
import { scenario } from './scenario.ts';
import { simulate } from './world.ts';

const { SIMULATION_SEED: seed = '1', SIMULATION_RUNS: runs = '10000', SIMULATION_PATH: path = '' } = process.env;

test(`in ${runs} worlds where anything may fail, from seed ${seed}, every promise is kept`, {
  timeout: 600_000,
}, async () => {
  const keepsPromises = fc.asyncProperty(scenario, async (each) => {
    expect(brokenPromises(each, await simulate(each))).toEqual([]);
  });
  const found = await fc.check(keepsPromises, { seed: Number(seed), numRuns: Number(runs), path });
  if (!found.failed) return;
  const [smallest] = found.counterexample ?? [];
  if (!smallest) throw found.errorInstance;
  const past = await simulate(smallest, { traced: true });
  const repeat = `SIMULATION_SEED=${found.seed} SIMULATION_PATH=${found.counterexamplePath} npx vitest run tests/simulation`;
  const broken = brokenPromises(smallest, past).join('\n');
  throw new Error(
    `${broken}\n\nafter ${found.numRuns} worlds; again by\n${repeat}\n\n${JSON.stringify(smallest)}\n\n${past.trace.join('\n')}`,
  );
});

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
