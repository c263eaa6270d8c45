import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { StoreFull } from '../errors.ts';
import { gathering } from '../gathering.ts';
import { createTurns } from '../ledger/turns.ts';
import type { Log } from '../log.ts';
import { isRecord } from '../models/input-issues.ts';
import { submissionSchema } from '../submission.ts';
import { type Submission, TASK_STATES, type Task, type TaskEvent } from '../task.ts';
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
import { channelOf, type Hears } from './redis-channels.ts';
import { faultOf, type RedisConnection } from './redis-connection.ts';
import { inputsKeyOf } from './redis-keys.ts';
import type { RedisLink } from './redis-link.ts';
import { type Asked, defineReads, endBytesOf, type Row, readHeads, readTask, readTasks } from './redis-reads.ts';
import { applyTransitions, defineTransitions, type Transition } from './redis-transition.ts';
import { allocatedBytes, SMALL_END_BYTES, type StoreRoom } from './room.ts';
import { READ_BYTES_MAX, type TaskHead, type TaskStore } from './store.ts';

/** A result that is larger goes by the connection for large values: small commands do not wait behind it. */
const LARGE_BYTES = 256 * 1024;

/** Tasks of one call: Redis does nothing else for as long, a millisecond or two. */
const TASKS_MAX = 100;

/** How often, and after what pauses, what is met by a Redis without memory is tried again: a second and a half altogether. */
const SHORT_TRIES = 10;
const SHORT_PAUSE_MS = 150;

export interface RedisStoreOptions {
  link: RedisLink;
  room: StoreRoom;
  /** Milliseconds that a task is kept from its terminal state on. */
  resultTtlMs: number;
  /** What watchers are told of. @default 'changes' */
  hears?: Hears | undefined;
  log: Log;
}

/** Tasks in Redis: one hash each, one script that writes them and tells of it. The link stays the caller's. */
export function createRedisStore({ link, room, resultTtlMs, hears = 'changes', log }: RedisStoreOptions): TaskStore {
  const { commands, large, events } = link;
  const listeners = createListeners(log);
  for (const { redis } of [commands, large]) defineTransitions(redis);
  defineReads(commands.redis);
  const channel = channelOf(commands.redis, hears);
  events.listen(channel, {
    onMessage: (text) => {
      const told = parseEvents(text, listeners.has);
      for (const event of told ?? []) listeners.dispatch(event);
      if (!told) log.debug({ channel, length: text.length }, 'foreign message on a redis channel');
    },
    onSubscribed: listeners.rereadAll,
  });

  const applyOn = async (connection: RedisConnection, transitions: readonly Transition[]) => {
    const answers = await connection.run((redis) => applyTransitions(redis, transitions));
    return answers.map((answer) => (answer instanceof Error ? faultOf(answer) : (answer ?? undefined)));
  };
  const gatherOn = (connection: RedisConnection, max: number) =>
    gathering<Transition, number | undefined>({ ask: (transitions) => applyOn(connection, transitions), max });
  const applySmall = gatherOn(commands, TASKS_MAX);
  // Apart from those that pass when Redis is out of memory: what one call may write is decided by its first change.
  const applyMedium = gatherOn(commands, TASKS_MAX);
  const applyLarge = gatherOn(large, 1);
  // In the connection's own order whoever asks for one would wait behind all that another has asked for.
  const largeReads = createTurns(1);
  const apply = (id: string, effect: Effect) => {
    const bytes = effect.end?.length ?? 0;
    return (bytes <= SMALL_END_BYTES ? applySmall : bytes <= LARGE_BYTES ? applyMedium : applyLarge)({ id, effect });
  };

  /** Stores a result that takes more than the record of its task was counted for. */
  async function applyInRoom(owner: string, id: string, effect: Effect): Promise<number | undefined> {
    const bytes = allocatedBytes(effect.end?.length ?? 0);
    const release = await room.take(owner, bytes).catch(async (error: unknown) => {
      // The end of the task makes room itself: its inputs go in the same step.
      const inputsBytes = await commands.run((redis) => redis.strlen(inputsKeyOf(id)));
      if (inputsBytes === 0) throw error;
      return room.take(owner, Math.max(0, bytes - allocatedBytes(inputsBytes)));
    });
    try {
      return await whereMemoryIsShort(() => apply(id, effect));
    } finally {
      release();
    }
  }

  /** Leaves nothing of a creation that had room for some of its records only. */
  async function withdraw(ids: readonly string[]): Promise<void> {
    const effect = effectOf({ to: 'WITHDRAWN', at: Date.now() }, resultTtlMs);
    await Promise.allSettled(ids.map((id) => apply(id, effect)));
  }

  const headOfTask = gathering<Asked, TaskHead | undefined>({
    ask: async (asked) => (await commands.run((redis) => readHeads(redis, asked))).map(headIn),
    max: TASKS_MAX,
  });

  return {
    isReady: () => commands.isReady() && events.isReady(),
    async create(submissions) {
      const created = await Promise.allSettled(
        submissions.map((each) => whereMemoryIsShort(() => apply(each.id, creationOf(each)))),
      );
      const refused = created.find(({ status }) => status === 'rejected');
      if (refused?.status !== 'rejected') return;
      if (refused.reason instanceof StoreFull) {
        const isNew = (_: Submission, i: number) =>
          created[i]?.status === 'fulfilled' && created[i].value !== undefined;
        await withdraw(submissions.filter(isNew).map(({ id }) => id));
      }
      throw refused.reason;
    },
    async get(ids, owner) {
      checkIds(ids);
      const tasks: (Task | undefined)[] = [];
      for (let bytes = 0; tasks.length < ids.length; ) {
        const rest = ids.slice(tasks.length);
        const [first = ''] = rest;
        const small = await commands.run((redis) => readTasks(redis, rest, owner, LARGE_BYTES));
        if (!small && tasks.length > 0) break;
        const rows = small ?? [await largeReads.take(owner ?? '', () => large.run((redis) => readTask(redis, first)))];
        tasks.push(...rows.map(taskIn));
        bytes += endBytesOf(rows);
        if (bytes > READ_BYTES_MAX) break;
      }
      return tasks;
    },
    async heads(ids, owner) {
      checkIds(ids);
      return Promise.all(ids.map((id) => headOfTask({ id, owner })));
    },
    async transition(id, change) {
      const effect = effectOf(change, resultTtlMs);
      const isLarge = change.to === 'SUCCEEDED' && (effect.end?.length ?? 0) > SMALL_END_BYTES;
      return isLarge ? applyInRoom(change.submission.owner, id, effect) : apply(id, effect);
    },
    watch: listeners.watch,
    watching: listeners.count,
    async close() {
      listeners.close();
    },
  };
}

/**
 * For what the books have room for: connections' buffers may take all that Redis has for a moment, and are gone within a second or so. What has not found
 * room by then is refused.
 */
async function whereMemoryIsShort<T>(write: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await write();
    } catch (error) {
      if (!(error instanceof StoreFull) || tries === SHORT_TRIES) throw error;
      await sleep(SHORT_PAUSE_MS);
    }
  }
}

function taskIn(row: Row): Task | undefined {
  const record = recordIn(row);
  return record && taskOf(record);
}

function headIn(row: Row): TaskHead | undefined {
  const record = recordIn(row);
  return record && headOf(record);
}

function recordIn([state, submission, attempts, revision, startedAt, completedAt, end]: Row): TaskRecord | undefined {
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

function numberOf(field: Buffer | null | undefined): number | undefined {
  return field?.length ? Number(field) : undefined;
}

const eventsSchema: z.ZodType<TaskEvent[]> = z.array(
  z.object({
    id: z.string(),
    state: z.enum(TASK_STATES),
    attempts: z.int().nonnegative(),
    revision: z.int().nonnegative(),
    at: z.number(),
    end: z.string().optional(),
    startedAt: z.number().optional(),
  }),
);

/** Events of the tasks that somebody waits for; each process hears of all. `undefined` for a message that is none of ours. */
function parseEvents(text: string, isWanted: (id: unknown) => boolean): TaskEvent[] | undefined {
  try {
    const events: unknown = JSON.parse(text);
    const isForNobody = (event: unknown) => isRecord(event) && !isWanted(event['id']);
    return eventsSchema.parse(Array.isArray(events) ? events.filter((event) => !isForNobody(event)) : events);
  } catch {
    return undefined;
  }
}
