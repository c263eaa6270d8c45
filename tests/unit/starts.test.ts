import { setImmediate as untilNextRound } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { createStarts } from '../../src/http/starts.ts';

test('a burst begins a few at a time, and another owner’s request begins in the next round', async () => {
  const { enter } = createStarts(10);
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
