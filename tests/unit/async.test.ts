import { expect, test } from 'vitest';
import { abortable } from '../../src/async/abortable.ts';
import { backOffMs, doubledMs } from '../../src/async/back-off.ts';
import { forgetOldest } from '../../src/async/oldest-first.ts';
import { createReading } from '../../src/async/reading.ts';
import { within } from '../../src/async/within.ts';

test('a back-off doubles up to its maximum, and keeps at least half of that with jitter', () => {
  const backOff = { minMs: 100, maxMs: 2_000 };
  expect([0, 1, 2, 4, 5, 5_000].map((failures) => doubledMs(backOff, failures))).toEqual([
    100, 200, 400, 1_600, 2_000, 2_000,
  ]);
  const pauses = Array.from({ length: 1_000 }, () => backOffMs(backOff, 2));
  expect(Math.min(...pauses)).toBeGreaterThanOrEqual(200);
  expect(Math.max(...pauses)).toBeLessThanOrEqual(400);
  expect(Math.max(...pauses) - Math.min(...pauses)).toBeGreaterThan(100);
});

test('what was set first is forgotten first', () => {
  const entries = new Map([1, 2, 3, 4].map((key) => [key, 'value']));
  forgetOldest(entries, 4);
  expect(entries.size).toBe(4);
  forgetOldest(entries, 2);
  expect([...entries.keys()]).toEqual([3, 4]);
});

test('what comes in time is there, and a failure too; what comes too late is not', async () => {
  expect(await within(60_000, Promise.resolve('here'))).toBe('here');
  expect(await within(1, new Promise(() => undefined))).toBeUndefined();
  expect(await within(60_000, undefined)).toBeUndefined();
  await expect(within(60_000, Promise.reject(new Error('no')))).rejects.toThrow('no');
});

test('a reading in flight is shared, and none begins too soon after the one before', async () => {
  const reads: PromiseWithResolvers<number>[] = [];
  const read = createReading(() => {
    reads.push(Promise.withResolvers());
    return (reads.at(-1) as PromiseWithResolvers<number>).promise;
  });
  const first = read(60_000);
  expect(read(0)).toBe(first);
  reads[0]?.resolve(1);
  expect(await first).toBe(1);
  expect(read(60_000)).toBeUndefined();
  const second = read(0)?.catch(() => 'failed');
  reads[1]?.reject(new Error('no'));
  expect(await second).toBe('failed');
  void read(0);
  expect(reads).toHaveLength(3);
});

test('a wait ends with what was promised, or with the reason of a signal that aborts before or meanwhile', async () => {
  const end = new AbortController();
  expect(await abortable(end.signal, Promise.resolve('here'))).toBe('here');
  await expect(abortable(end.signal, Promise.reject(new Error('no')))).rejects.toThrow('no');
  const waiting = abortable(end.signal, new Promise(() => undefined));
  end.abort(new Error('closed'));
  await expect(waiting).rejects.toThrow('closed');
  // What it rejects with later is nobody's, and no unhandled rejection.
  const late = Promise.withResolvers<never>();
  await expect(abortable(end.signal, late.promise)).rejects.toThrow('closed');
  late.reject(new Error('too late'));
});
