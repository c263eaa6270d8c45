import assert from 'node:assert/strict';
import { gathering } from '../../async/gather.ts';
import { createFairQueue } from '../../ledger/fair-queue.ts';
import type { Log } from '../../process/log.ts';
import type { RedisLink } from '../../redis/link.ts';
import { checkIds, headOf, recordStateSchema, type TaskRecord, taskOf } from '../../task/record.ts';
import { submissionSchema } from '../../task/submission.ts';
import type { Task, TaskHead } from '../../task/task.ts';
import type { StoreRoom } from '../room.ts';
import { READ_BYTES_MAX, type TaskStore } from '../store.ts';
import { createTaskListeners } from '../task-listeners.ts';
import { channelOf, parseEvents, type SubscribedTo } from './redis-channels.ts';
import { LARGE_BYTES, TASKS_MAX } from './redis-limits.ts';
import { type Asked, defineReads, endBytesOf, type Row, readHeadRows, readRow, readRows } from './redis-reads.ts';
import { createRedisWrites } from './redis-writes.ts';

/** Large results that are on their way at once; the owners that wait for one take turns. */
const LARGE_READS_AT_ONCE = 2;

export interface RedisStoreOptions {
  link: RedisLink;
  room: StoreRoom;
  /** Milliseconds that a task is kept from its terminal state on. */
  resultTtlMs: number;
  /** What is subscribed: `watch` needs `'changes'`. @default 'changes' */
  subscribedTo?: SubscribedTo | undefined;
  log: Log;
}

/** Tasks in Redis: one hash each, one script that writes them and tells of it. The link stays the caller's. */
export function createRedisStore({
  link,
  room,
  resultTtlMs,
  subscribedTo = 'changes',
  log,
}: RedisStoreOptions): TaskStore {
  const { commands, large, events } = link;
  const largeReads = createFairQueue(LARGE_READS_AT_ONCE);
  const listeners = createTaskListeners(log);
  defineReads(commands.redis);
  const channel = channelOf(commands.redis, subscribedTo);
  events.listen(channel, {
    onMessage: (text) => {
      const told = parseEvents(text, listeners.has);
      for (const event of told ?? []) listeners.dispatch(event);
      if (!told) log.debug({ channel, length: text.length }, 'foreign message on a redis channel');
    },
    onSubscribed: listeners.rereadAll,
  });

  const writes = createRedisWrites({ link, room, resultTtlMs });
  const headOfTask = gathering<Asked, TaskHead | undefined>({
    ask: async (asked) => (await commands.run((redis) => readHeadRows(redis, asked))).map(headIn),
    max: TASKS_MAX,
  });

  return {
    isReady: () => commands.isReady() && events.isReady(),
    create: writes.create,
    async get(ids, owner) {
      checkIds(ids);
      const tasks: (Task | undefined)[] = [];
      for (let bytes = 0; tasks.length < ids.length; ) {
        const rest = ids.slice(tasks.length);
        const [first = ''] = rest;
        const small = await commands.run((redis) => readRows(redis, rest, owner, LARGE_BYTES));
        if (!small && tasks.length > 0) break;
        const readLarge = () => large.run((redis) => readRow(redis, first));
        const rows = small ?? [await largeReads.run(owner ?? '', readLarge)];
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
    transition: writes.transition,
    watch(...watched) {
      assert(subscribedTo === 'changes', 'this store was opened for stops alone');
      return listeners.watch(...watched);
    },
    watchStops: listeners.watchStops,
    watching: listeners.count,
    async close() {
      listeners.close();
    },
  };
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
