import { randomUUID } from 'node:crypto';
import { expect } from 'vitest';
import type { TaskStore } from '../../src/store/store.ts';
import type { Change, Submission } from '../../src/task/task.ts';
import type { Tensor } from '../../src/tensor/tensor.ts';

export const HOUR_MS = 3_600_000;

/** Opens a store whose finished tasks live this long; its `close` must leave nothing open. */
export type OpenStore = (options: { resultTtlMs: number }) => Promise<TaskStore>;

export function newSubmission(fields: Partial<Submission> = {}): Submission {
  const model = { name: 'iris', version: '1', fingerprint: 'f00d' };
  return { id: randomUUID(), owner: 'alice', model, door: 'typed', submittedAt: 1_700_000_000_000, ...fields };
}

/** A claim that no other is. */
export const running = (submission: Submission, attemptsBefore = 0, at = 20): Extract<Change, { to: 'RUNNING' }> => ({
  to: 'RUNNING',
  at,
  submission,
  attemptsBefore,
  claim: randomUUID(),
  takeOver: true,
});
export const succeeded = (
  submission: Submission,
  outputs: Tensor[] = [],
  at = 30,
): Extract<Change, { to: 'SUCCEEDED' }> => ({
  to: 'SUCCEEDED',
  at,
  submission,
  result: { outputs, runMs: 1.5, batchSize: 3 },
});
export const failed = (submission: Submission, at = 30): Extract<Change, { to: 'FAILED' }> => ({
  to: 'FAILED',
  at,
  submission,
  error: { code: 'MODEL_ERROR', message: 'the model said "no"' },
});

export async function created(store: TaskStore, fields: Partial<Submission> = {}): Promise<Submission> {
  const submission = newSubmission(fields);
  await store.create([submission]);
  return submission;
}

/**
 * Resolves when events arrive at this store's listeners, those made before the call included, since they come in
 * order. A store just opened may still be subscribing, so it publishes until it hears itself.
 */
export async function eventsArrived(store: TaskStore): Promise<void> {
  const marker = newSubmission();
  let heard = false;
  const unwatch = store.watch(marker.id, (event) => {
    heard ||= event !== 'reread';
  });
  const publish = async () => {
    await store.transition(marker.id, running(marker));
    return heard;
  };
  await expect.poll(publish, { timeout: 10_000, interval: 5 }).toBe(true);
  unwatch();
}
