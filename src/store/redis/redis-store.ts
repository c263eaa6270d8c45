import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { gathering } from '../../async/gather.ts';
import { StoreFull } from '../../errors.ts';
import { createTurns } from '../../ledger/turns.ts';
import type { Log } from '../../process/log.ts';
import { faultOf, type RedisConnection } from '../../redis/connection.ts';
import type { RedisLink } from '../../redis/link.ts';
import {
  checkIds,
  creationOf,
  type Effect,
  effectOf,
  headOf,
  recordStateSchema,
  type TaskRecord,
  taskOf,
} from '../../task/record.ts';
import { submissionSchema } from '../../task/submission.ts';
import type { Submission, Task, TaskHead } from '../../task/task.ts';
import { createListeners } from '../listeners.ts';
import { allocatedBytes, SMALL_END_BYTES, type StoreRoom } from '../room.ts';
import { READ_BYTES_MAX, type TaskStore } from '../store.ts';
import { channelOf, type Hears, parseEvents } from './redis-channels.ts';
import { inputsKeyOf } from './redis-keys.ts';
import { type Asked, defineReads, endBytesOf, type Row, readHeads, readTask, readTasks } from './redis-reads.ts';
import { applyTransitions, defineTransitions, type Transition } from './redis-transition.ts';

/** Large results that are on their way at once; the owners that wait for one take turns. */
const LARGE_READS_AT_ONCE = 2;

/** A result that is larger goes by the connection for large values: small commands do not wait behind it. */
const LARGE_BYTES = 256 * 1024;

/** Tasks of one call: Redis does nothing else for as long, a millisecond or two. */
const TASKS_MAX = 100;

/** For how long, and after what pauses, what meets a Redis without memory is tried again. */
const SHORT_MS = 1_500;
const SHORT_PAUSE_MS = 100;

export interface RedisStoreOptions {
  link: RedisLink;
  room: StoreRoom;
  /** Milliseconds that a task is kept from its terminal state on. */
  resultTtlMs: number;
  /** What is subscribed: `watch` needs `'changes'`. @default 'changes' */
  hears?: Hears | undefined;
  log: Log;
}

/** Tasks in Redis: one hash each, one script that writes them and tells of it. The link stays the caller's. */
export function createRedisStore({ link, room, resultTtlMs, hears = 'changes', log }: RedisStoreOptions): TaskStore {
  const { commands, large, events } = link;
  const largeReads = createTurns(LARGE_READS_AT_ONCE);
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
      const again = () => apply(id, effect);
      return await again().catch((error: unknown) => whereMemoryIsShort(again, error));
    } finally {
      release();
    }
  }

  /** Creations of which some met a Redis without memory: those are tried again, and if they have no room then, nothing is left of the others. */
  async function createInTime(
    submissions: readonly Submission[],
    creations: readonly Promise<number | undefined>[],
    create: (submission: Submission) => Promise<number | undefined>,
  ): Promise<void> {
    const settled = await Promise.allSettled(
      creations.map((creation, i) => {
        const submission = submissions[i];
        const again = () => (submission ? create(submission) : creation);
        return creation.catch((error: unknown) => whereMemoryIsShort(again, error));
      }),
    );
    const refused = settled.find(({ status }) => status === 'rejected');
    if (refused?.status !== 'rejected') return;
    const isNew = (_: Submission, i: number) => settled[i]?.status === 'fulfilled' && settled[i].value !== undefined;
    const effect = effectOf({ to: 'WITHDRAWN', at: Date.now() }, resultTtlMs);
    await Promise.allSettled(submissions.filter(isNew).map(({ id }) => apply(id, effect)));
    throw refused.reason;
  }

  const headOfTask = gathering<Asked, TaskHead | undefined>({
    ask: async (asked) => (await commands.run((redis) => readHeads(redis, asked))).map(headIn),
    max: TASKS_MAX,
  });

  return {
    isReady: () => commands.isReady() && events.isReady(),
    async create(submissions) {
      const create = (each: Submission) => apply(each.id, creationOf(each));
      const creations = submissions.map(create);
      try {
        await Promise.all(creations);
      } catch (error) {
        if (!(error instanceof StoreFull)) throw error;
        await createInTime(submissions, creations, create);
      }
    },
    async get(ids, owner) {
      checkIds(ids);
      const tasks: (Task | undefined)[] = [];
      for (let bytes = 0; tasks.length < ids.length; ) {
        const rest = ids.slice(tasks.length);
        const [first = ''] = rest;
        const small = await commands.run((redis) => readTasks(redis, rest, owner, LARGE_BYTES));
        if (!small && tasks.length > 0) break;
        const readLarge = () => large.run((redis) => readTask(redis, first));
        const rows = small ?? [await largeReads.take(owner ?? '', readLarge)];
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
    transition(id, change) {
      const effect = effectOf(change, resultTtlMs);
      const isLarge = change.to === 'SUCCEEDED' && (effect.end?.length ?? 0) > SMALL_END_BYTES;
      return isLarge ? applyInRoom(change.submission.owner, id, effect) : apply(id, effect);
    },
    watch(...watched) {
      assert(hears === 'changes', 'this store was opened for stops alone');
      return listeners.watch(...watched);
    },
    watchStops: listeners.watchStops,
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
async function whereMemoryIsShort<T>(again: () => Promise<T>, first: unknown): Promise<T> {
  let error = first;
  const end = performance.now() + SHORT_MS;
  while (error instanceof StoreFull && performance.now() < end) {
    await sleep(SHORT_PAUSE_MS);
    try {
      return await again();
    } catch (next) {
      error = next;
    }
  }
  throw error;
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
