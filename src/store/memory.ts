import { StoreUnavailable } from '../errors.ts';
import type { Log } from '../log.ts';
import { isTerminal, type TaskEvent } from '../task.ts';
import { createListeners } from './listeners.ts';
import { MemoryPayloads, PAYLOAD_BYTES_MAX } from './memory-payloads.ts';
import { createMemoryRecords } from './memory-records.ts';
import type { Payloads } from './payloads.ts';
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
} from './record.ts';
import { READ_BYTES_MAX, type TaskStore } from './store.ts';

/** The most that finished tasks may take; beyond it the oldest of them go before their time. */
export const RESULT_BYTES_MAX = 512 * 2 ** 20;

const SWEEP_MS = 60_000;

export interface MemoryStoreOptions {
  /** Milliseconds that a task is kept from its terminal state on. */
  resultTtlMs: number;
  /** @default RESULT_BYTES_MAX */
  resultBytesMax?: number;
  /** @default PAYLOAD_BYTES_MAX */
  payloadBytesMax?: number;
  log: Log;
}

/** Tasks in this process's memory, and the inputs of those that have large ones: nothing outlives it. */
export function createMemoryStore(options: MemoryStoreOptions): TaskStore & { payloads: Payloads } {
  const records = createMemoryRecords(options.resultBytesMax ?? RESULT_BYTES_MAX);
  const kept = new MemoryPayloads(options.payloadBytesMax ?? PAYLOAD_BYTES_MAX);
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
    records.put(id, record, effect.ttlMs);
    if (effect.ends) kept.remove(id);
    const event = eventOf(id, effect, record);
    if (event) announce(event);
    return record.attempts;
  }

  function find(id: string): TaskRecord | undefined {
    if (closed) throw new StoreUnavailable('the store is closed');
    return records.find(id);
  }

  function announce(event: TaskEvent): void {
    // Never inside the caller's own step: with Redis, too, events come by another way than answers.
    queueMicrotask(() => listeners.dispatch(event));
  }

  const payloads: Payloads = {
    async put(id, payload) {
      const record = find(id);
      return record && isTerminal(record.state) ? undefined : kept.put(id, payload);
    },
    async get(id) {
      if (closed) throw new StoreUnavailable('the store is closed');
      return kept.get(id);
    },
  };

  return {
    payloads,
    isReady: () => !closed,
    async create(submissions) {
      for (const submission of submissions) apply(submission.id, creationOf(submission));
    },
    async get(ids) {
      checkIds(ids);
      const records = ids.map(find);
      let bytes = 0;
      const isTooMuch = (record: TaskRecord | undefined, i: number) => {
        bytes += record?.end?.length ?? 0;
        return i > 0 && bytes > READ_BYTES_MAX;
      };
      const end = records.findIndex(isTooMuch);
      return records.slice(0, end < 0 ? undefined : end).map((record) => record && taskOf(record));
    },
    async heads(ids) {
      checkIds(ids);
      return ids.map(find).map((record) => record && headOf(record));
    },
    transition: async (id, change) => apply(id, effectOf(change, options.resultTtlMs)),
    watch: listeners.watch,
    watching: listeners.count,
    async close() {
      closed = true;
      clearInterval(sweeper);
      listeners.close();
    },
  };
}
