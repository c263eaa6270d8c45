import { describe, expect, test } from 'vitest';
import type { Delivery } from '../../src/broker/broker.ts';
import { NO_TRACING } from '../../src/telemetry/tracing.ts';
import { HeldTask, type HoldingState } from '../../workers/tasks/held-task.ts';
import { modelWith } from '../simulation/model.ts';

const STATES: readonly HoldingState[] = ['WAITING', 'CLAIMING', 'CLAIMED', 'RELEASED'];

function delivery(fields: Partial<Delivery> = {}): Delivery {
  const { signal } = new AbortController();
  return { id: 'a', body: Buffer.of(), attemptsBefore: 0, returnsBefore: 0, redelivered: false, signal, ...fields };
}

function heldTask(fields?: Partial<Delivery>): HeldTask {
  const model = modelWith({ maxAttempts: 3, maxWaiting: 100 });
  const { name, version } = model.served;
  const reference = { name, version, fingerprint: model.fingerprint };
  const submission = { id: 'a', owner: 'anybody', model: reference, door: 'typed', submittedAt: 0 } as const;
  const span = NO_TRACING.start('process', {});
  return new HeldTask(delivery(fields), { submission, inputs: [], model, lane: 'normal', span });
}

/** What brings a task to each state. */
const go: Record<HoldingState, (task: HeldTask) => void> = {
  WAITING: (task) => task.waitAlone(),
  CLAIMING: (task) => task.claiming(),
  CLAIMED: (task) => task.claimed(1),
  RELEASED: (task) => task.release('ack'),
};

function taskIn(state: HoldingState): HeldTask {
  const task = heldTask();
  const way: Record<HoldingState, HoldingState[]> = {
    WAITING: [],
    CLAIMING: ['CLAIMING'],
    CLAIMED: ['CLAIMING', 'CLAIMED'],
    RELEASED: ['RELEASED'],
  };
  for (const each of way[state]) go[each](task);
  return task;
}

describe('a held task', () => {
  const legal = new Set(['WAITING → CLAIMING', 'CLAIMING → CLAIMED', 'CLAIMED → WAITING']);

  test.each(STATES.flatMap((from) => STATES.map((to) => [from, to] as const)))('from %s to %s', (from, to) => {
    const task = taskIn(from);
    expect(task.state).toBe(from);
    if (to === 'RELEASED' || legal.has(`${from} → ${to}`)) {
      go[to](task);
      expect(task.state).toBe(to);
    } else {
      expect(() => go[to](task)).toThrow(`a held task goes from ${from} to ${to}`);
      expect(task.state).toBe(from);
    }
  });

  test('is on no attempt until it is claimed, and stays on that one when its shared run failed: it runs alone then', () => {
    const task = heldTask();
    task.claiming();
    expect([task.attempt, task.alone]).toEqual([0, false]);
    task.claimed(2);
    task.waitAlone();
    expect([task.attempt, task.alone]).toEqual([2, true]);
    expect(heldTask({ attemptsBefore: 1 }).alone).toBe(true);
  });

  test('keeps the verdict that it was released by first, and says so once', async () => {
    const task = heldTask();
    let released = 0;
    task.onRelease(() => {
      released += 1;
    });
    task.release('requeue');
    task.abandon(new Error('too late'));
    await expect(task.verdict()).resolves.toBe('requeue');
    expect(released).toBe(1);
  });

  test('acks the delivery before the one that it adopts, and adopts none once it is released', async () => {
    const task = heldTask();
    const before = task.verdict();
    const again = delivery({ redelivered: true });
    task.adopt(again);
    await expect(before).resolves.toBe('ack');
    expect([task.delivery, task.wasRedelivered]).toEqual([again, true]);
    task.release('requeue');
    await expect(task.verdict()).resolves.toBe('requeue');
    expect(() => task.adopt(delivery())).toThrow();
  });

  test('is known to have ended elsewhere whatever its state', () => {
    for (const state of STATES) {
      const task = taskIn(state);
      task.noteEnd();
      expect([task.hasEnded, task.state]).toEqual([true, state]);
    }
  });
});
