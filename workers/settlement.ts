import type { Log } from '../src/log.ts';
import type { Change, RunResult } from '../src/task.ts';
import { abandon, type HeldTask } from './held-task.ts';
import { type Outcome, outcomeOf, wornOut } from './outcome.ts';
import type { PatientStore } from './patient-store.ts';
import type { RunError } from './run-error.ts';

/** Writes what becomes of a task, and only then gives its verdict. No method rejects. */
export interface Settlement {
  /** Counts the attempt; `false` if the task is not to be run, and is settled. */
  claim(task: HeldTask): Promise<boolean>;
  succeed(task: HeldTask, result: RunResult): Promise<void>;
  fail(task: HeldTask, error: RunError): Promise<void>;
}

export function createSettlement({ store, log }: { store: PatientStore; log: Log }): Settlement {
  async function write(task: HeldTask, change: Change): Promise<number | undefined> {
    for (;;) {
      const { delivery } = task;
      try {
        return await store.transition(task.submission.id, change, delivery.signal);
      } catch (error) {
        // Given up because that delivery was lost; but the task has come again, and is waited with as before.
        if (task.delivery === delivery) throw error;
      }
    }
  }

  async function settle(task: HeldTask, outcome: Outcome | { to: 'SUCCEEDED'; result: RunResult }): Promise<void> {
    const { submission, attempt, verdict } = task;
    const at = Date.now();
    // Write the state before the ack: dying in between means a redelivery, refused as already terminal; the other order
    // would lose the result.
    const written = await write(
      task,
      outcome.to === 'QUEUED'
        ? { to: 'QUEUED', at, submission, attemptsBefore: attempt }
        : { ...outcome, at, submission },
    );
    const alreadyEnded = written === undefined;
    log.debug({ taskId: submission.id, to: outcome.to, attempt, alreadyEnded }, 'task settled');
    // A task that was cancelled meanwhile is not tried again.
    verdict.resolve(outcome.to === 'QUEUED' && !alreadyEnded ? { retryAfterMs: outcome.retryAfterMs } : 'ack');
  }

  const orAbandon = <T>(task: HeldTask, step: Promise<T>, instead: T): Promise<T> =>
    step.catch((error: unknown) => {
      abandon(task, error);
      return instead;
    });

  async function claimed(task: HeldTask): Promise<boolean> {
    // A member of a batch that failed is still on the attempt it was claimed for.
    if (task.attempt > 0) return true;
    const { submission, delivery, model, verdict, claim } = task;
    const { attemptsBefore } = delivery;
    const change = { to: 'RUNNING', at: Date.now(), submission, attemptsBefore, claim } as const;
    const attempt = await write(task, change);
    if (attempt === undefined) {
      log.debug({ taskId: submission.id }, 'task dropped: already terminal');
      verdict.resolve('ack');
      return false;
    }
    task.attempt = attempt;
    const { maxAttempts } = model.manifest;
    if (attempt > maxAttempts) await settle(task, wornOut(attempt, maxAttempts));
    return attempt <= maxAttempts;
  }

  return {
    claim: (task) => orAbandon(task, claimed(task), false),
    succeed: (task, result) => orAbandon(task, settle(task, { to: 'SUCCEEDED', result }), undefined),
    fail: (task, error) =>
      orAbandon(task, settle(task, outcomeOf(error, task.attempt, task.model.manifest.maxAttempts)), undefined),
  };
}
