import { setImmediate as untilNextRound } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { createStarts } from '../../src/api/http/starts.ts';

test('a burst begins a few at a time, and another owner’s request begins in the next round', async () => {
  const { enter } = createStarts({ roundMax: 10 });
  let ann = 0;
  const first = Array.from({ length: 100 }, () => enter('ann'));
  expect(first.filter((wait) => wait === undefined)).toHaveLength(10);
  for (const wait of first) {
    void wait?.then(() => {
      ann += 1;
    });
  }
  let annBefore: number | undefined;
  void enter('bob')?.then(() => {
    annBefore = ann;
  });
  await untilNextRound();
  expect(annBefore).toBeLessThanOrEqual(10);
  expect(ann).toBe(9);
  while (ann < 90) await untilNextRound();
  await untilNextRound();
  expect(enter('ann')).toBeUndefined();
});

test('while connections are accepted nothing begins, for a bounded number of rounds', async () => {
  const { enter, accepted } = createStarts({ postponedMax: 5 });
  accepted();
  let hasBegun = false;
  void enter('ann')?.then(() => {
    hasBegun = true;
  });
  let rounds = 0;
  while (!hasBegun && rounds < 100) {
    accepted();
    await untilNextRound();
    rounds += 1;
  }
  expect(rounds).toBeGreaterThanOrEqual(5);
  expect(rounds).toBeLessThan(10);
  await untilNextRound();
  await untilNextRound();
  expect(enter('ann')).toBeUndefined();
});
