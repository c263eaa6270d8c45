import type { TaskState } from '../../src/task/task.ts';
import type { Machine } from './machine.ts';
import type { ClientPlan } from './scenario.ts';
import type { Applied } from './simulated-store.ts';

/** A task that a client was given the id of. */
export interface Given {
  id: string;
  /** Several where clients shared a key. */
  numbers: number[];
  plans: ClientPlan[];
}

/** What the whole world saw, for the judgement at the end. */
export interface Ledger {
  given: Map<string, Given>;
  /** Runs that began, by the number of the task. */
  starts: Map<number, { at: number; machine: Machine }[]>;
  /** Changes that the store carried out, by id. */
  changes: Map<string, (Applied & { at: number })[]>;
  /** What each subscription was told, and since when it was there. */
  completions: { id: string; since: number; at: number; state: TaskState }[];
  flushedAt: number | undefined;
  /** Promises that were seen broken while it happened. */
  broken: string[];
}

export function createLedger(): Ledger {
  return {
    given: new Map(),
    starts: new Map(),
    changes: new Map(),
    completions: [],
    flushedAt: undefined,
    broken: [],
  };
}

/** Adds to a list that may not be there yet. */
export function addTo<K, V>(lists: Map<K, V[]>, key: K, value: V): void {
  const list = lists.get(key);
  if (list) list.push(value);
  else lists.set(key, [value]);
}
