import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { createDrainRate } from '../../src/api/predictions/drain-rate.ts';

interface Drain {
  /** Tasks that leave together. */
  batch: number;
  /** Milliseconds from one such leave to the next. */
  everyMs: number;
}

/** Reads a queue, as refused clients make it be read, that is kept at its limit by this process, and perhaps by another. */
function readings(
  drain: Drain,
  { limit, readEveryMs, ownShare = 1 }: { limit: number; readEveryMs: number; ownShare?: number },
) {
  const rate = createDrainRate();
  const rates: number[] = [];
  let waiting = limit;
  let entered = limit;
  let nextLeaveAt = drain.everyMs / 3;
  const until = 30 * Math.max(drain.everyMs, readEveryMs);
  for (let at = 0; at < until; at += readEveryMs) {
    for (; nextLeaveAt <= at; nextLeaveAt += drain.everyMs) waiting -= Math.min(waiting, drain.batch);
    rate.read({ entered, waiting, at });
    const found = rate.at(at);
    if (found !== undefined) rates.push(found);
    const room = limit - waiting;
    waiting += room;
    entered += Math.round(room * ownShare);
  }
  return rates;
}

test.each<[string, Drain, number]>([
  ['one task in five seconds', { batch: 1, everyMs: 5_000 }, 3],
  ['one in a hundred seconds', { batch: 1, everyMs: 100_000 }, 3],
  ['ten a second', { batch: 1, everyMs: 100 }, 100],
  ['5,000 a second', { batch: 5, everyMs: 1 }, 100_000],
  ['64 at once, each two seconds', { batch: 64, everyMs: 2_000 }, 1_000],
  ['64 at once, each twenty seconds', { batch: 64, everyMs: 20_000 }, 1_000],
])('of %s, every estimate is within a factor of two', (_, drain, limit) => {
  const rates = readings(drain, { limit, readEveryMs: 250 });
  const actual = drain.batch / drain.everyMs;
  expect(rates.length).toBeGreaterThan(10);
  for (const rate of rates) {
    expect(rate).toBeGreaterThan(actual / 2);
    expect(rate).toBeLessThan(actual * 2);
  }
});

test('whatever the drain, and however often it is looked at, so it is', async () => {
  const drains = fc.record({ batch: fc.integer({ min: 1, max: 64 }), everyMs: fc.integer({ min: 5, max: 20_000 }) });
  await fc.assert(
    fc.property(drains, fc.integer({ min: 250, max: 2_500 }), (drain, readEveryMs) => {
      const actual = drain.batch / drain.everyMs;
      for (const rate of readings(drain, { limit: 1_000_000, readEveryMs })) {
        expect(rate).toBeGreaterThan(actual / 2);
        expect(rate).toBeLessThan(actual * 2);
      }
    }),
  );
});

test('what another process puts in is taken off: it is the rate at which room comes', () => {
  const rates = readings({ batch: 10, everyMs: 500 }, { limit: 100, readEveryMs: 250, ownShare: 0.5 });
  expect(rates.at(-1)).toBeGreaterThan(0.02 * 0.4);
  expect(rates.at(-1)).toBeLessThan(0.02 * 0.6);
});

test('a drain that stops is found to be slower the longer it lasts, and one that was quicker before a pause is remembered', () => {
  const rate = createDrainRate();
  let at = 0;
  for (let left = 0; left < 20; left++, at += 1_000) rate.read({ entered: 100, waiting: 100 - left, at });
  expect(rate.at(at)).toBeCloseTo(0.001);
  for (const end = at + 60_000; at < end; at += 250) rate.read({ entered: 100, waiting: 81, at });
  expect(rate.at(at)).toBeLessThan(0.0005);

  const emptied = createDrainRate();
  for (let waiting = 10; waiting >= 0; waiting--) emptied.read({ entered: 10, waiting, at: (10 - waiting) * 500 });
  // Nothing waited for ten minutes; what waits now says nothing yet.
  emptied.read({ entered: 30, waiting: 20, at: 600_000 });
  emptied.read({ entered: 30, waiting: 20, at: 600_250 });
  expect(emptied.at(600_250)).toBeCloseTo(0.002);
});

test('a pause in which the queue ran empty unseen does not count as a slow drain', () => {
  const rate = createDrainRate();
  for (let left = 0; left < 10; left++) rate.read({ entered: 12, waiting: 12 - left, at: left * 500 });
  // The last three left at some time of the ten minutes in which nobody looked.
  rate.read({ entered: 32, waiting: 20, at: 600_000 });
  expect(rate.at(600_000)).toBeCloseTo(0.002, 6);
});
