import { StoreUnavailable } from '../../src/errors.ts';
import type { Log } from '../../src/process/log.ts';
import type { Deadlines } from '../../src/store/deadlines.ts';
import type { Payloads } from '../../src/store/payloads.ts';
import type { StoreRoom } from '../../src/store/room.ts';
import type { TaskStore } from '../../src/store/store.ts';
import { createTaskListeners, type TaskListeners } from '../../src/store/task-listeners.ts';
import {
  allows,
  applied,
  creationOf,
  type Effect,
  effectOf,
  eventOf,
  headOf,
  type TaskRecord,
  taskOf,
} from '../../src/task/record.ts';
import { type Change, isTerminal, type TaskEvent } from '../../src/task/task.ts';
import { createCaller, type Line, latencyMs, type Machine, type Setting } from './machine.ts';

/** One server for all machines: each sees it through a `TaskStore` of its own, as with Redis. */
export interface SimulatedStore {
  connect(machine: Machine): { store: TaskStore; deadlines: Deadlines; payloads: Payloads; room: StoreRoom };
  record(id: string): TaskRecord | undefined;
  /** Tasks whose inputs are kept. */
  payloadsKept(): string[];
  /** Nobody can reach it for so long, and what it publishes reaches nobody. */
  outage(ms: number): void;
  /** Events are lost, and nobody notices. */
  loseEvents(ms: number): void;
  flush(): void;
  /** Loses one record. */
  forget(id: string): void;
  /** From now on nothing is lost that is sent while it is there. */
  heal(): void;
}

/** A change as the server carried it out. */
export interface Applied {
  id: string;
  by: Machine;
  change: Change | { to: 'CREATED' };
  before: TaskRecord | undefined;
  after: TaskRecord;
}

export interface StoreOptions {
  lossy: number;
  log: Log;
  onApplied: (applied: Applied) => void;
  /** Where a test plants its bug. */
  plant?: ((effect: Effect) => Effect) | undefined;
}

export function createSimulatedStore(setting: Setting, options: StoreOptions): SimulatedStore {
  const { time, random, trace } = setting;
  const { log, onApplied, plant = (effect) => effect } = options;
  const refusal = (message: string) => new StoreUnavailable(message);
  const line: Line = { lossy: options.lossy, awayUntil: 0, timeoutMs: 2_000, refusal };
  const call = createCaller(setting, line);
  const records = new Map<string, TaskRecord>();
  const deadlines = new Map<string, number>();
  const payloads = new Map<string, Uint8Array>();
  const subscribers = new Map<Machine, TaskListeners>();
  let eventsLostUntil = 0;

  function apply(by: Machine, id: string, change: Applied['change'], planned: Effect): number | undefined {
    const effect = plant(planned);
    const before = records.get(id);
    if (!allows(before, effect)) {
      trace(by.name, change.to, id, 'refused:', before?.state);
      return undefined;
    }
    const after = applied(before, effect);
    records.set(id, after);
    if (effect.ends) payloads.delete(id);
    trace(by.name, change.to, id, 'attempts', after.attempts, 'revision', after.revision);
    onApplied({ id, by, change, before, after });
    const event = eventOf(id, effect, after);
    if (event) publish(event);
    return after.attempts;
  }

  function publish(event: TaskEvent): void {
    for (const [machine, listeners] of subscribers) {
      const isLost = () => !machine.isAlive || time.now < Math.max(eventsLostUntil, line.awayUntil);
      if (!isLost()) time.after(latencyMs(random), () => isLost() || listeners.dispatch(event));
    }
  }

  return {
    connect(machine) {
      const listeners = createTaskListeners(log);
      subscribers.set(machine, listeners);
      machine.onDeath(() => {
        subscribers.delete(machine);
        listeners.close();
      });
      const read = <T>(
        name: string,
        ids: readonly string[],
        owner: string | undefined,
        view: (record: TaskRecord) => T | undefined,
      ) =>
        call(machine, name, () =>
          ids.map((id) => {
            const record = records.get(id);
            const isTheirs = owner === undefined || record?.submission?.owner === owner;
            return record && isTheirs ? view(record) : undefined;
          }),
        );
      const store: TaskStore = {
        isReady: () => time.now >= line.awayUntil,
        create: async (submissions) => {
          const creations = submissions.map((submission) =>
            call(machine, 'create', () => apply(machine, submission.id, { to: 'CREATED' }, creationOf(submission))),
          );
          await Promise.all(creations);
        },
        get: (ids, owner) => read('get', ids, owner, taskOf),
        heads: (ids, owner) => read('heads', ids, owner, headOf),
        transition: (id, change) =>
          call(machine, `${change.to} ${id}`, () => apply(machine, id, change, effectOf(change, RESULT_TTL_MS))),
        watch: listeners.watch,
        watchStops: listeners.watchStops,
        watching: listeners.count,
        close: async () => listeners.close(),
      };
      return { store, deadlines: connectDeadlines(machine), payloads: connectPayloads(machine), room: BOUNDLESS };
    },
    record: (id) => records.get(id),
    payloadsKept: () => [...payloads.keys()],
    outage(ms) {
      line.awayUntil = Math.max(line.awayUntil, time.now + ms);
      // Each machine notices that it is back at a moment of its own.
      for (const listeners of subscribers.values()) {
        time.after(ms + random.integer(50, 3_000), () => listeners.rereadAll());
      }
    },
    loseEvents(ms) {
      eventsLostUntil = Math.max(eventsLostUntil, time.now + ms);
    },
    flush() {
      records.clear();
      deadlines.clear();
      payloads.clear();
    },
    forget: (id) => records.delete(id),
    heal() {
      line.lossy = 0;
    },
  };

  function connectPayloads(machine: Machine): Payloads {
    return {
      put: ({ id }, payload) =>
        call(machine, `put ${id}`, () => {
          const record = records.get(id);
          if (record && isTerminal(record.state)) return undefined;
          const kept = payloads.get(id) ?? payload;
          payloads.set(id, kept);
          return kept.byteLength;
        }),
      get: (id) => call(machine, `get inputs of ${id}`, () => payloads.get(id)),
    };
  }

  function connectDeadlines(machine: Machine): Deadlines {
    return {
      add: (added) =>
        call(machine, 'add deadlines', () => {
          for (const { id, expiresAt } of added) deadlines.set(id, expiresAt);
        }),
      due: (now, limit) =>
        call(machine, 'due', () => {
          const due = [...deadlines].filter(([, expiresAt]) => expiresAt <= now).sort(([, a], [, b]) => a - b);
          return due.slice(0, limit).map(([id]) => id);
        }),
      remove: (ids) =>
        call(machine, 'remove deadlines', () => {
          for (const id of ids) deadlines.delete(id);
        }),
    };
  }
}

/** Longer than any world lasts: that results go some day is not what is looked at here. */
export const RESULT_TTL_MS = 24 * 3_600_000;

/** What a world keeps is small: a store that is full is met elsewhere. */
const BOUNDLESS: StoreRoom = {
  take: async () => () => undefined,
  level: () => ({ bytes: 0, limit: undefined, isFull: false }),
};
