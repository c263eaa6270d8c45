import type { Verdict } from '../../src/broker/broker.ts';
import { LONGEST_DELAY } from '../../src/broker/topology.ts';
import type { Log } from '../../src/process/log.ts';
import type { TaskStore } from '../../src/store/store.ts';
import { type Change, isTerminal, type Submission } from '../../src/task/task.ts';
import { RETURNS_MAX } from './absent-model.ts';
import type { HeldTask } from './held-task.ts';
import { wornOut } from './outcome.ts';
import type { PatientStore } from './patient-store.ts';
import { askFor, end } from './settlement.ts';
import type { WorkerObserver } from './worker-observer.ts';

/** When a message comes again that found its task running elsewhere; after that, half a minute each time. */
const FIRST_RETURN_MS = 1_000;

export interface ClaimOptions {
  patient: PatientStore;
  /** Aborts when the worker closes: what has not begun is then given back rather than waited with. */
  closing: AbortSignal;
  observer: WorkerObserver;
  log: Log;
}

/** Takes a task on right before its run. `false` if it is not to be run, and is released. Does not reject. */
export async function claim(task: HeldTask, options: ClaimOptions): Promise<boolean> {
  try {
    task.claiming();
    // A member of a batch that failed is still on the attempt it was claimed for.
    if (task.attempt > 0) {
      task.claimed(task.attempt);
      return true;
    }
    const verdict = await begin(task, options);
    if (verdict) task.release(verdict);
    return verdict === undefined;
  } catch (error) {
    task.abandon(error);
    return false;
  }
}

/** Counts the attempt; resolves with the verdict if there is to be none. */
async function begin(task: HeldTask, options: ClaimOptions): Promise<Verdict | undefined> {
  const { patient, closing, observer } = options;
  const { submission, delivery, model, claim: name } = task;
  const { attemptsBefore, returnsBefore } = delivery;
  // The worker that has it may have died. Else this is a second message of a task that another worker runs; but should the
  // broker not tell that a message was given out before, the task must not wait for ever.
  const takeOver = task.wasRedelivered || returnsBefore >= RETURNS_MAX;
  if (takeOver && (await isWornOut(task, options))) return 'ack';
  const change = { to: 'RUNNING', at: Date.now(), submission, attemptsBefore, claim: name, takeOver } as const;
  const attempt = await askFor(patient, task, (store) => claimInTime(store, task, change), closing);
  if (attempt === 'EXPIRED') {
    observer.ended({ model: submission.model.name, state: attempt, totalMs: Date.now() - submission.submittedAt });
    return 'ack';
  }
  if (attempt === undefined) return refused(task, options);
  if (attempt === 1 && isOver(submission)) return (await undoLate(task, options)) ? 'ack' : begin(task, options);
  task.claimed(attempt);
  if (attempt === 1) observer.begun({ model: submission.model.name, queuedMs: change.at - submission.submittedAt });
  const { maxAttempts } = model.manifest;
  if (attempt <= maxAttempts) return undefined;
  const error = wornOut(attempt - 1, maxAttempts);
  await end(task, { to: 'FAILED', at: Date.now(), submission, error }, options);
  return 'ack';
}

function isOver({ expiresAt = Number.POSITIVE_INFINITY }: Submission): boolean {
  return expiresAt <= Date.now();
}

/** Ends a task whose time was over before the store's answer to its first claim was here; `false` if it has ended otherwise, or is with another worker. */
async function undoLate(task: HeldTask, { patient, closing, observer, log }: ClaimOptions): Promise<boolean> {
  const { submission, delivery, claim: name } = task;
  const { id } = submission;
  const { attemptsBefore } = delivery;
  const undo = { to: 'QUEUED', at: Date.now(), submission, attemptsBefore, handedBack: name } as const;
  await askFor(patient, task, (store) => store.transition(id, undo), closing);
  const at = Date.now();
  const expired = await askFor(
    patient,
    task,
    (store) => store.transition(id, { to: 'EXPIRED', at, submission }),
    closing,
  );
  if (expired === undefined) return false;
  log.debug({ taskId: id }, 'task expired while it was claimed');
  observer.ended({ model: submission.model.name, state: 'EXPIRED', totalMs: at - submission.submittedAt });
  return true;
}

/** One try of a claim. A task that was never begun and whose time is over, perhaps since the try before, ends instead. */
async function claimInTime(
  store: TaskStore,
  { submission, delivery }: HeldTask,
  change: Change,
): Promise<number | 'EXPIRED' | undefined> {
  const { id } = submission;
  if (delivery.attemptsBefore === 0 && isOver(submission)) {
    // Where it was begun, or has ended, the store says no and the claim decides.
    const expired = await store.transition(id, { to: 'EXPIRED', at: Date.now(), submission });
    if (expired !== undefined) return 'EXPIRED';
  }
  return store.transition(id, change);
}

/** Ends a task whose every attempt was begun by a worker that is gone: another claim would count one that is never run. */
async function isWornOut(task: HeldTask, options: ClaimOptions): Promise<boolean> {
  const { submission, model } = task;
  const { maxAttempts } = model.manifest;
  const head = await headOf(task, options);
  if (head?.state !== 'RUNNING' || head.attempts < maxAttempts) return false;
  const error = wornOut(head.attempts, maxAttempts);
  await end(task, { to: 'FAILED', at: Date.now(), submission, error }, options);
  return true;
}

/** What becomes of a message whose task has ended, or is with another worker. */
async function refused(task: HeldTask, options: ClaimOptions): Promise<Verdict | undefined> {
  const { observer, log } = options;
  const { submission } = task;
  const head = await headOf(task, options);
  // Of a refused submission nothing is to be seen, nor of a result whose time is over.
  if (!head || isTerminal(head.state)) {
    log.debug({ taskId: submission.id }, 'task dropped: already terminal');
    observer.duplicateDropped({ model: submission.model.name });
    return 'ack';
  }
  // It came again while the store was asked. Published anew it would not say so, and wait behind a worker that is gone.
  if (task.wasRedelivered) return begin(task, options);
  const { returnsBefore } = task.delivery;
  log.debug({ taskId: submission.id, returnsBefore }, 'task runs elsewhere, second message returned');
  return { returnAfterMs: returnsBefore === 0 ? FIRST_RETURN_MS : LONGEST_DELAY.delayMs };
}

async function headOf(task: HeldTask, { patient, closing }: ClaimOptions) {
  const [head] = await askFor(patient, task, (store) => store.heads([task.submission.id]), closing);
  return head;
}
