import fc from 'fast-check';
import { expect } from 'vitest';
import { brokenPromises } from './promise.ts';
import { scenario } from './scenario.ts';
import { simulate } from './world.ts';

const { SIMULATION_SEED = '1', SIMULATION_RUNS = '2000', SIMULATION_PATH: path = '' } = process.env;

export const SEED = Number(SIMULATION_SEED);
/** In `npm test`: five times as many as it takes to find each of the planted bugs. */
export const RUNS = Number(SIMULATION_RUNS);
/** In `npm run test:faults`, beside them. */
export const MORE_RUNS = 4 * RUNS;

/** Fails with the smallest world in which a promise is broken, what happened in it, and how to see that again. */
export async function expectPromisesKept(seed: number, numRuns: number): Promise<void> {
  const keepsPromises = fc.asyncProperty(scenario, async (each) => {
    expect(brokenPromises(each, await simulate(each))).toEqual([]);
  });
  const found = await fc.check(keepsPromises, { seed, numRuns, path });
  if (!found.failed) return;
  const [smallest] = found.counterexample ?? [];
  if (!smallest) throw found.errorInstance;
  const past = await simulate(smallest, { traced: true });
  const repeat = `SIMULATION_SEED=${found.seed} SIMULATION_PATH=${found.counterexamplePath} npx vitest run tests/simulation/simulation.test.ts`;
  const broken = brokenPromises(smallest, past).join('\n');
  throw new Error(
    `${broken}\n\nafter ${found.numRuns} worlds; again by\n${repeat}\n\n${JSON.stringify(smallest)}\n\n${past.trace.join('\n')}`,
  );
}
