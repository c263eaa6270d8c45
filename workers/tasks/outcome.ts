import { DELAY_QUEUES, LONGEST_DELAY } from '../../src/broker/topology.ts';
import { sizesFault } from '../../src/models/equal-sizes.ts';
import type { TaskError } from '../../src/task/task.ts';
import { RunError } from '../inference/run-error.ts';
import type { HeldTask } from './held-task.ts';

/** What becomes of a task whose run failed; one that is QUEUED again has its delivery retried, any other acked. */
export type Outcome = { to: 'QUEUED'; retryAfterMs: number } | { to: 'FAILED'; error: TaskError };

/**
 * Judges a run that failed, alone. What the model itself refuses it would refuse again; a process that was lost or had to be
 * killed may have been unlucky, so the task is tried anew until it has had its attempts.
 */
export function outcomeOf({ code, message }: RunError, attempt: number, maxAttempts: number): Outcome {
  switch (code) {
    case 'INPUTS_LOST':
    case 'MODEL_ERROR':
    case 'INVALID_OUTPUT':
      return { to: 'FAILED', error: { code, message } };
    case 'TIMEOUT':
    case 'WORKER_LOST':
      if (attempt < maxAttempts) return { to: 'QUEUED', retryAfterMs: retryAfterMs(attempt) };
      return { to: 'FAILED', error: { code, message: `${message} (attempt ${attempt} of ${maxAttempts})` } };
  }
}

/** What a task's model refused, with the sizes that the model calls by one name and the task does not have equal. */
export function withSizes(error: RunError, { model, inputs }: Pick<HeldTask, 'model' | 'inputs'>): RunError {
  const fault = error.code === 'MODEL_ERROR' && model.sharedSymbols && sizesFault(model.sharedSymbols, inputs);
  return fault ? new RunError(error.code, `${error.message}; ${fault}`, error.isLethal) : error;
}

/** What is said of a task that has had its attempts, and no worker that ran it lived to say what happened. */
export function wornOut(attempts: number, maxAttempts: number): TaskError {
  const message = `each worker that ran the task was lost (${attempts} attempts of ${maxAttempts})`;
  return { code: 'WORKER_LOST', message };
}

/** A delay for the second attempt, one for the third, and so on; the last for each further one. */
function retryAfterMs(attempt: number): number {
  const { delayMs } = DELAY_QUEUES[attempt - 1] ?? LONGEST_DELAY;
  return delayMs;
}
