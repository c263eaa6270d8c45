import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { PLANTED } from './planted.ts';
import { brokenPromises } from './promise.ts';
import { scenario } from './scenario.ts';
import { simulate } from './world.ts';
import { RUNS } from './worlds.ts';

// In as many worlds as the product has to stand in `npm test`.
describe('a bug is found where the product', () => {
  test.each(Object.keys(PLANTED))('%s', async (name) => {
    let found: string[] = [];
    const keepsPromises = fc.asyncProperty(scenario, async (each) => {
      found = brokenPromises(each, await simulate(each, { plant: PLANTED[name] }));
      return found.length === 0;
    });
    const { failed } = await fc.check(keepsPromises, { seed: 1, numRuns: RUNS, endOnFailure: true });
    expect({ failed, found }).toMatchObject({ failed: true });
  });
});
