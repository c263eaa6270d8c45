import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { createTaskListeners, type TaskListeners } from '../../src/store/task-listeners.ts';
import { createTestLog } from '../support/test-log.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

/** TaskListeners, and how many of them were told to read again in each millisecond since. */
function startMany(count: number) {
  const listeners = createTaskListeners(createTestLog());
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

/** A listener that counts how often it is told to read again. */
function watchOne(listeners: TaskListeners, payer: string) {
  let told = 0;
  const listener = () => {
    told += 1;
  };
  const unwatch = listeners.watch('one', listener, payer);
  return { told: () => told, unwatch };
}

test('every listener is told to read again now and then, never many of them at once', () => {
  const { listeners, told, atOnce } = startMany(10_000);
  vi.advanceTimersByTime(10_100);
  expect(told()).toBeGreaterThanOrEqual(10_000);
  expect(atOnce()).toBeLessThanOrEqual(50);
  const before = told();
  vi.advanceTimersByTime(10_100);
  expect(told()).toBeGreaterThanOrEqual(before + 10_000);
  listeners.close();
});

test('a crowd of listeners of one owner is told less often, those of another as ever', () => {
  const { listeners, told, atOnce } = startMany(100_000);
  const one = watchOne(listeners, 'bob');
  vi.advanceTimersByTime(30_000);
  expect(one.told()).toBeGreaterThanOrEqual(2);
  expect(told()).toBeLessThanOrEqual(30_000);
  expect(atOnce()).toBeLessThanOrEqual(51);
  listeners.close();
});

test('after a reconnect ten thousand listeners read again within a second, a single one at once, beside any crowd', () => {
  const { listeners, told, atOnce } = startMany(10_000);
  vi.advanceTimersByTime(20);
  listeners.rereadAll();
  vi.advanceTimersByTime(1_000);
  expect(told()).toBeGreaterThanOrEqual(10_000);
  expect(atOnce()).toBeLessThanOrEqual(550);
  const one = watchOne(listeners, 'bob');
  listeners.rereadAll();
  vi.advanceTimersByTime(50);
  expect(one.told()).toBe(1);
  listeners.close();
});

test('a listener that ends others while it is told does not have them told', () => {
  const listeners = createTaskListeners(createTestLog());
  const others = Array.from({ length: 10 }, () => watchOne(listeners, ''));
  const last: (() => void)[] = [];
  last.push(listeners.watch('first', () => undefined));
  const ended = listeners.watch('all', () => {
    for (const { unwatch } of others) unwatch();
  });
  listeners.rereadAll();
  vi.advanceTimersByTime(50);
  expect(listeners.count()).toBe(2);
  for (const unwatch of [...last, ended]) unwatch();
  expect(vi.getTimerCount()).toBe(0);
});

test('listeners that have ended, and a closed set of them, leave no timer', () => {
  const listeners = createTaskListeners(createTestLog());
  const all = ['ann', 'bob'].map((payer) => watchOne(listeners, payer));
  expect(vi.getTimerCount()).toBe(1);
  for (const { unwatch } of all) unwatch();
  expect([vi.getTimerCount(), listeners.count()]).toEqual([0, 0]);
  watchOne(listeners, 'ann');
  listeners.close();
  expect([vi.getTimerCount(), listeners.count()]).toEqual([0, 0]);
});
