import { StoreFull, StoreUnavailable } from '../../errors.ts';
import type { Log } from '../../process/log.ts';
import {
  allows,
  applied,
  checkIds,
  creationOf,
  type Effect,
  effectOf,
  eventOf,
  headOf,
  type TaskRecord,
  taskOf,
} from '../../task/record.ts';
import { isTerminal } from '../../task/task.ts';
import type { Payloads } from '../payloads.ts';
import { allocatedBytes, SMALL_END_BYTES, type StoreRoom } from '../room.ts';
import { READ_BYTES_MAX, type TaskStore } from '../store.ts';
import { Tally } from '../tally.ts';
import { createTaskListeners, type TaskListeners } from '../task-listeners.ts';
import { createMemoryPayloads, type MemoryPayloads } from './memory-payloads.ts';
import { createMemoryRecords, type MemoryRecords } from './memory-records.ts';
import { createMemoryRoom, type MemoryRoom } from './memory-room.ts';

/** The most that records, large inputs and results may take. An owner's oldest results go when its share of that is used up. */
const STORE_BYTES_MAX = 1024 * 1024 * 1024;

const SWEEP_MS = 60_000;

export interface MemoryStoreOptions {
  /** Milliseconds that a task is kept from its terminal state on. */
  resultTtlMs: number;
  /** @default STORE_BYTES_MAX */
  bytesMax?: number;
  log: Log;
}

/** Tasks in this process's memory, and the inputs of those that have large ones: nothing outlives it. */
export function createMemoryStore(options: MemoryStoreOptions): TaskStore & { payloads: Payloads; room: StoreRoom } {
  const tally = new Tally();
  const records = createMemoryRecords(tally);
  const inputs = createMemoryPayloads(tally);
  const room = createMemoryRoom(tally, options.bytesMax ?? STORE_BYTES_MAX, records.evict);
  const listeners = createTaskListeners(options.log);
  const sweeper = setInterval(() => {
    records.sweep();
    inputs.sweep();
  }, SWEEP_MS).unref();
  let closed = false;

  const parts: Parts = { records, inputs, room, listeners };
  const open = () => {
    if (closed) throw new StoreUnavailable('the store is closed');
    return parts;
  };

  function findOf(id: string, owner: string | undefined): TaskRecord | undefined {
    const record = open().records.find(id);
    return owner === undefined || record?.submission?.owner === owner ? record : undefined;
  }

  return {
    payloads: payloadsOf(open),
    room,
    isReady: () => !closed,
    async create(submissions) {
      for (const submission of submissions) apply(open(), submission.id, creationOf(submission));
    },
    async get(ids, owner) {
      checkIds(ids);
      return readAtOnce(ids.map((id) => findOf(id, owner))).map((record) => record && taskOf(record));
    },
    async heads(ids, owner) {
      checkIds(ids);
      return ids.map((id) => findOf(id, owner)).map((record) => record && headOf(record));
    },
    transition: async (id, change) => apply(open(), id, effectOf(change, options.resultTtlMs)),
    watch: listeners.watch,
    watchStops: listeners.watchStops,
    watching: listeners.count,
    async close() {
      closed = true;
      clearInterval(sweeper);
      listeners.close();
    },
  };
}

interface Parts {
  records: MemoryRecords;
  inputs: MemoryPayloads;
  room: MemoryRoom;
  listeners: TaskListeners;
}

function apply(parts: Parts, id: string, effect: Effect): number | undefined {
  const { records, inputs, listeners } = parts;
  const before = records.find(id);
  if (!allows(before, effect)) return undefined;
  const record = applied(before, effect);
  makeRoomFor(parts, id, effect, record);
  records.put(id, record, effect.ttlMs);
  if (effect.ends) inputs.remove(id);
  // Never inside the caller's own step: with Redis, too, events come by another way than answers.
  queueMicrotask(() => {
    const event = listeners.has(id) && eventOf(id, effect, record);
    if (event) listeners.dispatch(event);
  });
  return record.attempts;
}

/** For a result. The task's inputs go in the same step; its record was counted when it was accepted, and so were ends that are small. */
function makeRoomFor({ inputs, room }: Parts, id: string, { end, state }: Effect, { submission }: TaskRecord): void {
  if (!end || !submission) return;
  try {
    const inputsBytes = inputs.get(id)?.byteLength ?? 0;
    room.make(submission.owner, Math.max(0, allocatedBytes(end.length) - allocatedBytes(inputsBytes)));
  } catch (error) {
    const isAlwaysStored = end.length <= SMALL_END_BYTES || state !== 'SUCCEEDED';
    if (!(isAlwaysStored && error instanceof StoreFull)) throw error;
  }
}

/** As many as one call reads. */
function readAtOnce(records: (TaskRecord | undefined)[]): (TaskRecord | undefined)[] {
  let bytes = 0;
  const end = records.findIndex((record, i) => {
    bytes += record?.end?.length ?? 0;
    return i > 0 && bytes > READ_BYTES_MAX;
  });
  return records.slice(0, end < 0 ? undefined : end);
}

function payloadsOf(open: () => Parts): Payloads {
  return {
    async put(of, payload) {
      const { records, inputs, room } = open();
      const record = records.find(of.id);
      if (record && isTerminal(record.state)) return undefined;
      const known = inputs.get(of.id);
      if (known) return known.byteLength;
      room.make(of.owner, allocatedBytes(payload.byteLength));
      inputs.put(of, payload);
      return payload.byteLength;
    },
    get: async (id) => open().inputs.get(id),
  };
}
