import { setTimeout as sleep } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import { z } from 'zod';
import { TASK_STATES, type TaskState } from '../src/task/task.ts';
import { NoAnswer, Refusal, type Server, subscribe } from './server.ts';

/** A task as the server returns it: these fields, and all others that were selected. */
export type TaskAnswer = z.infer<typeof taskSchema>;

export const taskSchema = z.looseObject({
  id: z.string(),
  state: z.enum(TASK_STATES),
  prediction: z.looseObject({ __typename: z.string() }).nullish(),
});

/** Selected for every task. The fields of the prediction come later: they depend on its type. */
export const TASK_FIELDS = `id state model { name version } attempts submittedAt startedAt completedAt queuedMs runMs batchSize
  error { code message } prediction { __typename }`;

/** Exit code of a command that saw a task's end; 1 and 2 are for what went wrong around it. */
export const OUTCOME_EXIT: Record<TaskState, number> = {
  SUCCEEDED: 0,
  FAILED: 3,
  CANCELLED: 4,
  EXPIRED: 5,
  // No end at all.
  QUEUED: 1,
  RUNNING: 1,
};

export const OUTCOME_NOTE =
  'Exit code: 0 SUCCEEDED, 3 FAILED, 4 CANCELLED, 5 EXPIRED; 1 if the outcome is unknown (no answer, or a refusal), 2 for wrong usage.';

/** Attempts in a row, about half a minute, to reach a server that answered before. */
const ATTEMPTS_MAX = 10;
const PAUSE_MS = 250;
const PAUSE_MS_MAX = 5_000;
/** Codes of errors that may pass. */
const PASSING = ['RATE_LIMITED', 'STORE_UNAVAILABLE', 'BROKER_UNAVAILABLE'];

/**
 * A task's state, and each change of it up to the last. A stream that is cut off is asked for again, by a client that
 * has had an answer before. Throws `Refusal` or `NoAnswer`.
 * @param known what the server has said of the task already
 */
export async function* follow(server: Server, id: string, known?: TaskAnswer): AsyncGenerator<TaskAnswer, void> {
  let task = known;
  let attempts = 0;
  for (;;) {
    try {
      for await (const { taskUpdated } of subscribe(server, updateSchema, SUBSCRIPTION, { id })) {
        attempts = 0;
        // The first after a new attempt may be the last of the one before.
        if (!isDeepStrictEqual(task, taskUpdated)) yield taskUpdated;
        task = taskUpdated;
      }
      return;
    } catch (error) {
      const passes = error instanceof NoAnswer || (error instanceof Refusal && error.codes.some(isPassing));
      if (!task || !passes || attempts >= ATTEMPTS_MAX) throw error;
      await sleep(Math.min(PAUSE_MS_MAX, PAUSE_MS * 2 ** attempts));
      attempts += 1;
    }
  }
}

const updateSchema = z.object({ taskUpdated: taskSchema });
const SUBSCRIPTION = `subscription ($id: ID!) { taskUpdated(id: $id) { ${TASK_FIELDS} } }`;

function isPassing(code: string): boolean {
  return PASSING.includes(code);
}
