import assert from 'node:assert/strict';
import { z } from 'zod';
import { encodeFrame, frameReader } from '../tensor/tensor-frame.ts';
import { submissionOf } from './submission.ts';
import {
  type Change,
  type Changed,
  type Ending,
  isTerminal,
  REACHED_FROM,
  type RecordState,
  type Submission,
  TASK_ERROR_CODES,
  TASK_STATES,
  type Task,
  type TaskEnded,
  type TaskEvent,
  type TaskHead,
  type TaskState,
} from './task.ts';

/** How long a task may stay unfinished, and how long a tombstone waits for its message: longer than any queue is left alone. */
export const UNFINISHED_TTL_MS = 7 * 24 * 3_600_000;

const IDS_MAX = 1_000;

/** Largest number of tasks that one call reads; a caller that asks for more lacks a bound of its own. */
export function checkIds(ids: readonly string[]): void {
  assert(ids.length <= IDS_MAX, `expected at most ${IDS_MAX} ids, got ${ids.length}`);
}

/** What a store keeps of a task. */
export interface TaskRecord {
  state: RecordState;
  /** Missing only where a submission was withdrawn whose record the store had lost. */
  submission?: Submission | undefined;
  attempts: number;
  /** Changes so far. */
  revision: number;
  /** The claim that was counted last. */
  claim?: string | undefined;
  startedAt?: number | undefined;
  completedAt?: number | undefined;
  /** How it ended: a frame with the outputs, or with the error. */
  end?: Uint8Array | undefined;
}

/** What a change does to a record, worked out once for every store; a store has but to apply it in one atomic step. */
export interface Effect {
  /** States that it may be applied to; in any other it is refused. */
  from: readonly (RecordState | 'ABSENT')[];
  state: RecordState;
  /** Written where no record was. */
  submission?: Submission | undefined;
  /** Attempts are at least this many … */
  attemptsBefore: number;
  /** … and one more, unless this very claim was counted last; then the change may be applied whatever `from` says. */
  claim?: string;
  /** The claim that is undone, if it was the last: one attempt less. Refused where the task runs by another one. */
  undone?: string | undefined;
  /** Refused, too, if there were more attempts than this. */
  attemptsMax?: number;
  /** `null` clears it. */
  startedAt?: number | null;
  completedAt?: number;
  end?: Buffer;
  /** From now on. */
  ttlMs: number;
  /** The task has ended: the inputs that were kept beside its record go in the same step. */
  ends?: true;
  /** Watchers are told; of an end that is small, all. */
  publish?: { at: number; withEnd: boolean };
}

/** Of an end that has no more bytes, watchers are told all. Every process hears of every task, and most of it is for another. */
const TOLD_BYTES_MAX = 512;

const CREATED_FROM = ['ABSENT'] as const;

/** The first record of a task. Nobody is told: nobody can know its id yet. */
export function creationOf(submission: Submission): Effect {
  return { from: CREATED_FROM, state: 'QUEUED', submission, attemptsBefore: 0, ttlMs: UNFINISHED_TTL_MS };
}

/** From where a task is claimed by a message that is no redelivery: whoever runs it has it still. */
const CLAIMED_FROM = REACHED_FROM.RUNNING.filter((state) => state !== 'RUNNING');
/** A record without its submission would be nobody's, and refuse the message that could bring it back. */
const EXPIRED_FROM = REACHED_FROM.EXPIRED.filter((state) => state !== 'ABSENT');

export function effectOf(change: Change, resultTtlMs: number): Effect {
  const { to, at } = change;
  const from = REACHED_FROM[to];
  // A tombstone has no result to keep, but a message to outlive.
  if (to === 'WITHDRAWN') return { from, state: to, attemptsBefore: 0, ttlMs: UNFINISHED_TTL_MS, ends: true };
  const unfinished = { ttlMs: UNFINISHED_TTL_MS, publish: { at, withEnd: false } };
  const terminal = { completedAt: at, ttlMs: resultTtlMs, ends: true, publish: { at, withEnd: true } } as const;
  switch (change.to) {
    case 'RUNNING': {
      const { submission, attemptsBefore, claim, takeOver } = change;
      const claimedFrom = takeOver ? from : CLAIMED_FROM;
      return { ...unfinished, from: claimedFrom, state: to, submission, attemptsBefore, claim, startedAt: at };
    }
    case 'QUEUED': {
      const { submission, attemptsBefore, handedBack: undone } = change;
      return { ...unfinished, from, state: to, submission, attemptsBefore, undone, startedAt: null };
    }
    case 'SUCCEEDED': {
      const { submission, attemptsBefore = 0, result } = change;
      const { outputs, runMs, batchSize } = result;
      const end = encodeFrame({ runMs, batchSize }, outputs);
      const publish = { at, withEnd: end.length <= TOLD_BYTES_MAX };
      return { ...terminal, from, state: to, submission, attemptsBefore, end, publish };
    }
    case 'FAILED': {
      const { submission, attemptsBefore = 0, error } = change;
      const end = encodeFrame({ error }, []);
      const publish = { at, withEnd: end.length <= TOLD_BYTES_MAX };
      return { ...terminal, from, state: to, submission, attemptsBefore, end, publish };
    }
    case 'EXPIRED': {
      const { submission } = change;
      const expired = { state: to, submission, attemptsBefore: 0, attemptsMax: 0 };
      return { from: submission ? from : EXPIRED_FROM, ...expired, ...terminal };
    }
    default:
      return { from, state: to, attemptsBefore: 0, ...terminal };
  }
}

/** Whether a record is in a state that an effect may be applied to. */
export function allows(before: TaskRecord | undefined, { from, claim, undone, attemptsMax }: Effect): boolean {
  const { state = 'ABSENT', attempts = 0 } = before ?? {};
  if (attemptsMax !== undefined && attempts > attemptsMax) return false;
  if (state === 'RUNNING' && undone !== undefined && undone !== before?.claim) return false;
  return from.includes(state) || (state === 'RUNNING' && claim !== undefined && claim === before?.claim);
}

/** The record as an effect leaves it. */
export function applied(before: TaskRecord | undefined, effect: Effect): TaskRecord {
  const isNewClaim = effect.claim !== undefined && effect.claim !== before?.claim;
  const isUndone = effect.undone !== undefined && effect.undone === before?.claim;
  const attempts = Math.max((before?.attempts ?? 0) - (isUndone ? 1 : 0), effect.attemptsBefore);
  return {
    state: effect.state,
    submission: before?.submission ?? effect.submission,
    attempts: attempts + (isNewClaim ? 1 : 0),
    revision: (before?.revision ?? 0) + 1,
    claim: isUndone ? undefined : (effect.claim ?? before?.claim),
    startedAt: effect.startedAt === undefined ? before?.startedAt : (effect.startedAt ?? undefined),
    completedAt: effect.completedAt ?? before?.completedAt,
    end: effect.end ?? before?.end,
  };
}

/** What watchers are told of an effect, once it was applied. */
export function eventOf(id: string, { publish }: Effect, record: TaskRecord): TaskEvent | undefined {
  const { state, attempts, revision, startedAt, end } = record;
  if (!publish || state === 'WITHDRAWN') return undefined;
  const changed = { id, attempts, revision, at: publish.at };
  return eventFrom(changed, state, publish.withEnd ? { startedAt, end } : undefined);
}

/** An event, with how its task ended where that is published. */
export function eventFrom(changed: Changed, state: TaskState, published: Published | undefined): TaskEvent {
  if (!isTerminal(state)) return { ...changed, state };
  return { ...changed, state, ending: published && endingOf(published) };
}

type Published = Pick<TaskRecord, 'startedAt' | 'end'>;

/** `undefined` where it is not in our words: another release may have written it. */
function endingOf({ startedAt, end }: Published): Ending | undefined {
  try {
    return { ...(startedAt !== undefined && { startedAt }), ...(end && outcomeIn(end)) };
  } catch {
    return undefined;
  }
}

/** The task of a submission, by an event that tells how it ended; `undefined` where it has to be read. */
export function endedBy({ state, attempts, revision, at, ending }: TaskEnded, of: Submission): Task | undefined {
  return ending && { ...submissionOf(of), state, attempts, revision, completedAt: at, ...ending };
}

/** The record as the client may see it; `undefined` for a tombstone. */
export function taskOf(record: TaskRecord): Task | undefined {
  const { state, submission, attempts, revision, startedAt, completedAt, end } = record;
  if (state === 'WITHDRAWN' || !submission) return undefined;
  return {
    ...submission,
    state,
    attempts,
    revision,
    ...(startedAt !== undefined && { startedAt }),
    ...(completedAt !== undefined && { completedAt }),
    ...(end && isTerminal(state) && outcomeIn(end)),
  };
}

export function headOf({ state, submission, attempts }: TaskRecord): TaskHead | undefined {
  return state === 'WITHDRAWN' || !submission ? undefined : { ...submission, state, attempts };
}

const readEnd = frameReader(
  z.union([
    z.object({ runMs: z.number(), batchSize: z.int() }),
    z.object({
      error: z.object({
        code: z.enum(TASK_ERROR_CODES),
        message: z.string(),
      }),
    }),
  ]),
);

function outcomeIn(end: Uint8Array): Pick<Task, 'result' | 'error'> {
  const { header, tensors } = readEnd(end);
  return 'error' in header ? header : { result: { ...header, outputs: tensors } };
}

export const recordStateSchema = z.enum([...TASK_STATES, 'WITHDRAWN']);
