import { z } from 'zod';
import type { Log } from '../log.ts';
import { submissionSchema } from '../submission.ts';
import { TASK_STATES, type TaskEvent } from '../task.ts';
import { createListeners } from './listeners.ts';
import {
  checkIds,
  creationOf,
  type Effect,
  effectOf,
  headOf,
  recordStateSchema,
  type TaskRecord,
  taskOf,
} from './record.ts';
import { inputsKeyOf, keyOf } from './redis-keys.ts';
import type { RedisLink } from './redis-link.ts';
import { defineTransition, FIELDS, transitionArgs } from './redis-transition.ts';
import type { TaskStore } from './store.ts';

const CHANNEL = 'foretell:tasks';

/** A result that is larger goes by the connection for large values: small commands do not wait behind it. */
const LARGE_BYTES = 256 * 1024;

export interface RedisStoreOptions {
  link: RedisLink;
  /** Milliseconds that a task is kept from its terminal state on. */
  resultTtlMs: number;
  log: Log;
}

/** Tasks in Redis: one hash each, one script that writes them, one channel that tells of it. The link stays the caller's. */
export function createRedisStore({ link, resultTtlMs, log }: RedisStoreOptions): TaskStore {
  const { commands, large, events } = link;
  const listeners = createListeners(log);
  for (const { redis } of [commands, large]) defineTransition(redis);
  events.listen(CHANNEL, {
    onMessage: (text) => {
      const event = parseEvent(text);
      if (event) listeners.dispatch(event);
      else log.debug({ channel: CHANNEL, length: text.length }, 'foreign message on a redis channel');
    },
    onSubscribed: listeners.rereadAll,
  });

  const apply = async (id: string, effect: Effect): Promise<number | undefined> => {
    const args = transitionArgs(id, effect, CHANNEL);
    const connection = (effect.end?.length ?? 0) > LARGE_BYTES ? large : commands;
    const attempts = await connection.run((redis) => redis.foretellTransition(keyOf(id), inputsKeyOf(id), ...args));
    return attempts ?? undefined;
  };

  /** Reads some of each task's fields; a field that is not there is an empty one. */
  const read = async (ids: readonly string[], fields: readonly string[]): Promise<Buffer[][]> => {
    checkIds(ids);
    const rows = await commands.run((redis) => Promise.all(ids.map((id) => redis.hmgetBuffer(keyOf(id), ...fields))));
    return rows.map((row) => row.map((value) => value ?? Buffer.alloc(0)));
  };

  return {
    isReady: () => commands.isReady() && events.isReady(),
    async create(submissions) {
      await Promise.all(submissions.map((submission) => apply(submission.id, creationOf(submission))));
    },
    async get(ids) {
      return (await read(ids, FIELDS)).map((row) => {
        const record = recordOf(row);
        return record && taskOf(record);
      });
    },
    async heads(ids) {
      return (await read(ids, FIELDS.slice(0, 3))).map((row) => {
        const record = recordOf(row);
        return record && headOf(record);
      });
    },
    transition: (id, change) => apply(id, effectOf(change, resultTtlMs)),
    watch: listeners.watch,
    watching: listeners.count,
    async close() {
      listeners.close();
    },
  };
}

function recordOf(row: readonly Buffer[]): TaskRecord | undefined {
  const [state, submission, attempts, revision, startedAt, completedAt, end] = row;
  if (!state?.length) return undefined;
  return {
    state: recordStateSchema.parse(state.toString()),
    submission: submission?.length ? submissionSchema.parse(JSON.parse(submission.toString())) : undefined,
    attempts: Number(attempts),
    revision: Number(revision),
    startedAt: numberOf(startedAt),
    completedAt: numberOf(completedAt),
    end: end?.length ? end : undefined,
  };
}

function numberOf(field: Buffer | undefined): number | undefined {
  return field?.length ? Number(field) : undefined;
}

const eventSchema: z.ZodType<TaskEvent> = z.object({
  id: z.string(),
  state: z.enum(TASK_STATES),
  attempts: z.int().nonnegative(),
  revision: z.int().nonnegative(),
  at: z.number(),
});

function parseEvent(text: string): TaskEvent | undefined {
  try {
    return eventSchema.parse(JSON.parse(text));
  } catch {
    return undefined;
  }
}
