import { StoreFull } from '../../src/errors.ts';
import type { Log } from '../../src/process/log.ts';
import type { TaskStore } from '../../src/store/store.ts';
import type { Change, RunResult, TaskError } from '../../src/task/task.ts';
import type { RunError } from '../inference/run-error.ts';
import type { HeldTask } from './held-task.ts';
import { type Outcome, outcomeOf, withSizes } from './outcome.ts';
import { type PatientStore, unlessAborted } from './patient-store.ts';
import type { WorkerObserver } from './worker-observer.ts';

/** How long a worker that closes waits for the store to hear that a task is given back: it is so without that, too. */
const HAND_BACK_MS = 1_000;

/** How a task ends. */
export type Ending = Extract<Change, { to: 'SUCCEEDED' | 'FAILED' }>;

/** Writes what becomes of a task, and only then releases it. No method rejects. */
export interface Settlement {
  succeed(task: HeldTask, result: RunResult): Promise<void>;
  /** Ends the task, or has it tried again. */
  fail(task: HeldTask, error: RunError): Promise<void>;
  /** Gives a task back that has not been run to its end, so that another worker takes it: no attempt. */
  handBack(task: HeldTask): Promise<void>;
}

export interface SettlementOptions {
  store: TaskStore;
  patient: PatientStore;
  observer: WorkerObserver;
  log: Log;
}

export function createSettlement({ store, patient, observer, log }: SettlementOptions): Settlement {
  async function settle(task: HeldTask, outcome: Outcome | { to: 'SUCCEEDED'; result: RunResult }): Promise<void> {
    if (outcome.to === 'QUEUED') return retry(task, outcome.retryAfterMs);
    // Write the state before the ack: dying in between means a redelivery, refused as already terminal; the other order
    // would lose the result.
    await end(task, { ...outcome, at: Date.now(), submission: task.submission }, { patient, observer, log });
    task.release('ack');
  }

  async function retry(task: HeldTask, retryAfterMs: number): Promise<void> {
    const { submission, attempt, delivery } = task;
    // The broker has given it out again: it is somebody else's now, who may be running it.
    if (delivery.signal.aborted) return task.release('requeue');
    const change = { to: 'QUEUED', at: Date.now(), submission, attemptsBefore: attempt } as const;
    const written = await write(patient, task, change);
    const alreadyEnded = written === undefined;
    log.debug({ taskId: submission.id, to: 'QUEUED', attempt, alreadyEnded }, 'task settled');
    // A task that was cancelled meanwhile is not tried again.
    task.release(alreadyEnded ? 'ack' : { retryAfterMs, attempts: attempt });
  }

  async function handBack(task: HeldTask): Promise<void> {
    const { submission, attempt, delivery, claim } = task;
    if (attempt === 0 && task.hasEnded) return task.release('ack');
    // A record that stays RUNNING is taken over, since the message is then a redelivered one.
    if (attempt === 0 || delivery.signal.aborted || patient.isAway()) return task.release('requeue');
    const change = {
      to: 'QUEUED',
      at: Date.now(),
      submission,
      attemptsBefore: attempt - 1,
      handedBack: claim,
    } as const;
    const written = await unlessAborted(store.transition(submission.id, change), AbortSignal.timeout(HAND_BACK_MS));
    log.debug({ taskId: submission.id, attempt }, 'task handed back');
    // A task that had ended may have been claimed after all, where the store has lost its end: then it is to run again. And one
    // that somebody else has claimed may yet need this message.
    task.release(written === undefined && task.hasEnded ? 'ack' : 'requeue');
  }

  const orAbandon = (task: HeldTask, step: Promise<void>) => step.catch((error: unknown) => task.abandon(error));
  return {
    succeed: (task, result) => orAbandon(task, settle(task, { to: 'SUCCEEDED', result })),
    fail: (task, error) =>
      orAbandon(task, settle(task, outcomeOf(withSizes(error, task), task.attempt, task.model.manifest.maxAttempts))),
    handBack: (task) => orAbandon(task, handBack(task)),
  };
}

/** Writes a task's end, if it has not ended yet. */
export async function end(
  task: HeldTask,
  ending: Ending,
  { patient, observer, log }: Pick<SettlementOptions, 'patient' | 'observer' | 'log'>,
): Promise<void> {
  const { submission, attempt, delivery } = task;
  const attemptsBefore = Math.max(attempt, delivery.attemptsBefore);
  const change = { ...ending, attemptsBefore };
  const { written, to, error } = await askFor(patient, task, (store) => storeEnd(store, change));
  const alreadyEnded = written === undefined;
  log.debug({ taskId: submission.id, to, attempt, alreadyEnded }, 'task settled');
  if (alreadyEnded) return;
  if (error) log.warn({ taskId: submission.id, model: submission.model.name, ...error }, 'task failed');
  observer.ended({ model: submission.model.name, state: to, totalMs: ending.at - submission.submittedAt });
}

/** One try of an end. A result that the store has no room for ends its task without one: the worker has other tasks to end. */
async function storeEnd(store: TaskStore, ending: Ending): Promise<Stored> {
  const { id } = ending.submission;
  if (ending.to === 'FAILED') return { ...ending, written: await store.transition(id, ending) };
  try {
    return { to: ending.to, written: await store.transition(id, ending) };
  } catch (error) {
    if (!(error instanceof StoreFull)) throw error;
    const { result: _, ...rest } = ending;
    const full = { code: 'STORE_FULL', message: `the result was not stored: ${error.message}` } as const;
    return storeEnd(store, { ...rest, to: 'FAILED', error: full });
  }
}

/** How a task ended, and the store's answer to it. */
interface Stored {
  to: Ending['to'];
  error?: TaskError;
  written: number | undefined;
}

function write(patient: PatientStore, task: HeldTask, change: Change): Promise<number | undefined> {
  return askFor(patient, task, (store) => store.transition(task.submission.id, change));
}

/** Asks the store for a held task, however long it is away; gives up with its last delivery, or when `ended` aborts. */
export function askFor<T>(
  patient: PatientStore,
  task: HeldTask,
  question: (store: TaskStore) => Promise<T>,
  ...ended: AbortSignal[]
): Promise<T> {
  // A task that has come again, after the delivery was lost by which it came, is waited with as before.
  return patient.ask(question, () => [task.delivery.signal, ...ended]);
}
