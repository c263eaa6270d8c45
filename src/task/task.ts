import type { Tensor } from '../tensor/tensor.ts';

export const TASK_STATES = ['QUEUED', 'RUNNING', 'SUCCEEDED', 'FAILED', 'CANCELLED', 'EXPIRED'] as const;

/** What a client may see. */
export type TaskState = (typeof TASK_STATES)[number];

/**
 * What a record may hold. WITHDRAWN is the tombstone of a submission that was refused after its record was written
 * (the broker did not confirm): the id was given to nobody, so nobody may find it, but its message may still arrive
 * and must then be dropped, not run.
 */
export type RecordState = TaskState | 'WITHDRAWN';

/**
 * The one table of legal transitions: from which states each state may be reached. Only a terminal state refuses work:
 * a redelivery of a task whose worker died finds RUNNING and claims it again, and a worker that has a result may store it
 * whatever an earlier, restored copy of the store says. `ABSENT` is a store that lost the record; the message brings it back.
 * QUEUED is reached from QUEUED, as RUNNING from RUNNING: a worker that lost the store's answer asks again, and a refusal
 * would tell it that the task has ended. (A creation has a rule of its own, in task/record.ts; so have a claim, which need
 * not take a task over from whoever runs it, and an expiry, which comes too late once a task was claimed.)
 */
export const REACHED_FROM: Record<RecordState, readonly (RecordState | 'ABSENT')[]> = {
  QUEUED: ['ABSENT', 'QUEUED', 'RUNNING'],
  RUNNING: ['ABSENT', 'QUEUED', 'RUNNING'],
  SUCCEEDED: ['ABSENT', 'QUEUED', 'RUNNING'],
  FAILED: ['ABSENT', 'QUEUED', 'RUNNING'],
  CANCELLED: ['QUEUED', 'RUNNING'],
  EXPIRED: ['ABSENT', 'QUEUED'],
  WITHDRAWN: ['ABSENT', 'QUEUED'],
};

/** States of tasks that have ended. */
export type TerminalState = Exclude<TaskState, 'QUEUED' | 'RUNNING'>;

export function isTerminal(state: RecordState): state is TerminalState | 'WITHDRAWN' {
  return state !== 'QUEUED' && state !== 'RUNNING';
}

/** Which served model a task was submitted for. `fingerprint` finds that very event, also after it was replaced. */
export interface ModelReference {
  name: string;
  version: string;
  fingerprint: string;
}

/** What is known of a task from its submission on and never changes; the prediction message carries it too. */
export interface Submission {
  /** A random UUID: unguessable, since knowing an id is enough to ask for its result where no keys are set. */
  id: string;
  owner: string;
  model: ModelReference;
  /** Which way the input came in; the prediction goes out the same way. */
  door: 'typed' | 'tensors';
  /** Milliseconds since the epoch, like every `…At`. */
  submittedAt: number;
  /** If it has not begun by then it ends as EXPIRED. */
  expiresAt?: number | undefined;
  /** Names the input of one that was made by an idempotency key: a second one by it queues no other. */
  content?: string | undefined;
  /** The span of the submission, as W3C Trace Context writes it, where traces are kept. */
  traceparent?: string | undefined;
}

export const TASK_ERROR_CODES = [
  'INPUTS_LOST',
  'INVALID_OUTPUT',
  'MODEL_ERROR',
  'STORE_FULL',
  'TIMEOUT',
  'WORKER_LOST',
] as const;

/** Why a task FAILED. The message may be shown to its owner. */
export interface TaskError {
  code: (typeof TASK_ERROR_CODES)[number];
  message: string;
}

/** What a successful run leaves. */
export interface RunResult {
  outputs: Tensor[];
  /** Milliseconds in the model, of the whole batch. */
  runMs: number;
  /** The number of tasks that shared the run. */
  batchSize: number;
}

export interface Task extends Submission {
  state: TaskState;
  /** How often a worker has claimed it, and not given it back before it was done. */
  attempts: number;
  /** Grows with every change of the record. */
  revision: number;
  startedAt?: number;
  completedAt?: number;
  result?: RunResult;
  error?: TaskError;
}

/**
 * A change of state, applied by `TaskStore.transition` and nowhere else. Workers pass the `submission` of the message,
 * so that a store that has lost the record gets it back. `claim` names one holding of the task by one worker: however often
 * the change is sent, and carried out, it counts as one attempt. `takeOver` tells that whoever claimed it before may be gone;
 * without it a task that runs refuses: the message is a second one of the same task. `handedBack` is a claim that is undone:
 * a worker that closes gives back what it has begun, and nobody is charged; a task that runs by another claim refuses that.
 * `attemptsBefore` are those that its sender knows of, for a store that does not.
 */
export type Change =
  | { to: 'RUNNING'; at: number; submission: Submission; attemptsBefore: number; claim: string; takeOver: boolean }
  | { to: 'QUEUED'; at: number; submission: Submission; attemptsBefore: number; handedBack?: string }
  | { to: 'SUCCEEDED'; at: number; submission: Submission; attemptsBefore?: number; result: RunResult }
  | { to: 'FAILED'; at: number; submission: Submission; attemptsBefore?: number; error: TaskError }
  | { to: 'EXPIRED'; at: number; submission?: Submission }
  | { to: 'CANCELLED' | 'WITHDRAWN'; at: number };

/** A change of a task as it is published: enough to follow its state, and to know how it ended where that takes few bytes. */
export type TaskEvent = TaskMoved | TaskEnded;

/** What every event says of its task. */
export interface Changed {
  id: string;
  attempts: number;
  revision: number;
  at: number;
}

export interface TaskMoved extends Changed {
  state: Exclude<TaskState, TerminalState>;
}

export interface TaskEnded extends Changed {
  state: TerminalState;
  /** Absent where the task has to be read: it is too long to be published. */
  ending?: Ending | undefined;
}

/** How a task ended, as far as there is more to it than the state. */
export type Ending = Pick<Task, 'startedAt' | 'result' | 'error'>;

/** Whether a task that a worker holds need not be run any more. (One that succeeded elsewhere is met when its record is read.) */
export function isStop(state: RecordState): boolean {
  return state === 'CANCELLED' || state === 'EXPIRED' || state === 'FAILED';
}

export function isEnded(event: TaskEvent): event is TaskEnded {
  return isTerminal(event.state);
}

/** What is known of a task without its result. */
export interface TaskHead extends Submission {
  state: Exclude<RecordState, 'WITHDRAWN'>;
  attempts: number;
}
