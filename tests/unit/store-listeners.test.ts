import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { createListeners } from '../../src/store/listeners.ts';
import { createTestLog } from '../support/test-log.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

/** Listeners, and how many of them were told to read again in each millisecond since. */
function startMany(count: number) {
  const listeners = createListeners(createTestLog());
  const toldAt = new Map<number, number>();
  const begun = Date.now();
  for (let i = 0; i < count; i += 1) {
    listeners.watch(`task ${i}`, () => {
      const at = Date.now() - begun;
      toldAt.set(at, (toldAt.get(at) ?? 0) + 1);
    });
  }
  const told = () => [...toldAt.values()].reduce((sum, each) => sum + each, 0);
  return { listeners, told, atOnce: () => Math.max(...toldAt.values()) };
}

test('every listener is told to read again now and then, never many of them at once', () => {
  const { listeners, told, atOnce } = startMany(10_000);
  vi.advanceTimersByTime(7_000);
  expect(told()).toBe(0);
  vi.advanceTimersByTime(6_000);
  expect(told()).toBeGreaterThanOrEqual(10_000);
  expect(atOnce()).toBeLessThan(50);
  const before = told();
  vi.advanceTimersByTime(13_000);
  expect(told()).toBeGreaterThanOrEqual(before + 10_000);
  listeners.close();
});

test('after a reconnect ten thousand listeners read again within a second, one at once', () => {
  const { listeners, told, atOnce } = startMany(10_000);
  listeners.rereadAll();
  vi.advanceTimersByTime(1_001);
  expect(told()).toBe(10_000);
  expect(atOnce()).toBeLessThan(50);
  listeners.close();

  const one = startMany(1);
  one.listeners.rereadAll();
  vi.advanceTimersByTime(1);
  expect(one.told()).toBe(1);
  one.listeners.close();
});

test('a listener that has ended, and a closed set of them, leave no timer', () => {
  const { listeners } = startMany(10);
  const unwatch = listeners.watch('task 0', () => undefined);
  expect(vi.getTimerCount()).toBe(11);
  unwatch();
  expect(vi.getTimerCount()).toBe(10);
  listeners.close();
  expect(vi.getTimerCount()).toBe(0);
  expect(listeners.count()).toBe(0);
});
