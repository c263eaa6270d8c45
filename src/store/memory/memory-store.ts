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
import { createListeners } from '../listeners.ts';
import type { Payloads } from '../payloads.ts';
import { allocatedBytes, SMALL_END_BYTES, type StoreRoom } from '../room.ts';
import { READ_BYTES_MAX, type TaskStore } from '../store.ts';
import { Tally } from '../tally.ts';
import { createMemoryPayloads } from './memory-payloads.ts';
import { createMemoryRecords } from './memory-records.ts';
import { createMemoryRoom } from './memory-room.ts';

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
  const kept = createMemoryPayloads(tally);
  const room = createMemoryRoom(tally, options.bytesMax ?? STORE_BYTES_MAX, records.evict);
  const listeners = createListeners(options.log);
  const sweeper = setInterval(() => {
    records.sweep();
    kept.sweep();
  }, SWEEP_MS).unref();
  let closed = false;

  function apply(id: string, effect: Effect): number | undefined {
    const before = find(id);
    if (!allows(before, effect)) return undefined;
    const record = applied(before, effect);
    makeRoomFor(id, effect, record);
    records.put(id, record, effect.ttlMs);
    if (effect.ends) kept.remove(id);
    announce(id, effect, record);
    return record.attempts;
  }

  /** For a result. The task's inputs go in the same step; its record was counted when it was accepted, and so were ends that are small. */
  function makeRoomFor(id: string, { end, state }: Effect, { submission }: TaskRecord): void {
    if (!end || !submission) return;
    try {
      const inputsBytes = kept.get(id)?.byteLength ?? 0;
      room.make(submission.owner, Math.max(0, allocatedBytes(end.length) - allocatedBytes(inputsBytes)));
    } catch (error) {
      const isAlwaysStored = end.length <= SMALL_END_BYTES || state !== 'SUCCEEDED';
      if (!(isAlwaysStored && error instanceof StoreFull)) throw error;
    }
  }

  function find(id: string): TaskRecord | undefined {
    if (closed) throw new StoreUnavailable('the store is closed');
    return records.find(id);
  }

  function findOf(id: string, owner: string | undefined): TaskRecord | undefined {
    const record = find(id);
    return owner === undefined || record?.submission?.owner === owner ? record : undefined;
  }

  function announce(id: string, effect: Effect, record: TaskRecord): void {
    // Never inside the caller's own step: with Redis, too, events come by another way than answers.
    queueMicrotask(() => {
      const event = listeners.has(id) && eventOf(id, effect, record);
      if (event) listeners.dispatch(event);
    });
  }

  const payloads: Payloads = {
    async put(of, payload) {
      const record = find(of.id);
      if (record && isTerminal(record.state)) return undefined;
      const known = kept.get(of.id);
      if (known) return known.byteLength;
      room.make(of.owner, allocatedBytes(payload.byteLength));
      kept.put(of, payload);
      return payload.byteLength;
    },
    async get(id) {
      if (closed) throw new StoreUnavailable('the store is closed');
      return kept.get(id);
    },
  };

  return {
    payloads,
    room,
    isReady: () => !closed,
    async create(submissions) {
      for (const submission of submissions) apply(submission.id, creationOf(submission));
    },
    async get(ids, owner) {
      checkIds(ids);
      const records = ids.map((id) => findOf(id, owner));
      let bytes = 0;
      const isTooMuch = (record: TaskRecord | undefined, i: number) => {
        bytes += record?.end?.length ?? 0;
        return i > 0 && bytes > READ_BYTES_MAX;
      };
      const end = records.findIndex(isTooMuch);
      return records.slice(0, end < 0 ? undefined : end).map((record) => record && taskOf(record));
    },
    async heads(ids, owner) {
      checkIds(ids);
      return ids.map((id) => findOf(id, owner)).map((record) => record && headOf(record));
    },
    transition: async (id, change) => apply(id, effectOf(change, options.resultTtlMs)),
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
