import { isTerminal } from '../task.ts';
import type { TaskRecord } from './record.ts';

/** What a record takes beside its outputs, roughly: so that many small results have a bound as well. */
const RECORD_BYTES = 1024;

interface Kept {
  record: TaskRecord;
  expiresAt: number;
}

/** Records in memory, each with its time to live, and a bound on the bytes of those that have ended. */
export interface MemoryRecords {
  find(id: string): TaskRecord | undefined;
  put(id: string, record: TaskRecord, ttlMs: number): void;
  /** Lets go of what has expired, and of the oldest results beyond the bound. */
  sweep(): void;
}

export function createMemoryRecords(resultBytesMax: number): MemoryRecords {
  // Each map holds records of one time to live, in the order they were written, so that the first is the first to go.
  const unfinished = new Map<string, Kept>();
  const finished = new Map<string, Kept>();
  let finishedBytes = 0;

  function remove(id: string): void {
    const ended = finished.get(id);
    if (ended) finishedBytes -= sizeOf(ended.record);
    finished.delete(id);
    unfinished.delete(id);
  }

  function sweep(): void {
    const now = Date.now();
    for (const kept of [unfinished, finished]) {
      for (const [id, { expiresAt }] of kept) {
        if (expiresAt > now) break;
        remove(id);
      }
    }
    for (const id of finished.keys()) {
      // The newest stays whatever its size: its client is only now being told.
      if (finishedBytes <= resultBytesMax || finished.size === 1) break;
      remove(id);
    }
  }

  return {
    find(id) {
      const kept = unfinished.get(id) ?? finished.get(id);
      return kept && kept.expiresAt > Date.now() ? kept.record : undefined;
    },
    put(id, record, ttlMs) {
      remove(id);
      // A tombstone lives as long as an unfinished task.
      const ended = isTerminal(record.state) && record.state !== 'WITHDRAWN';
      (ended ? finished : unfinished).set(id, { record, expiresAt: Date.now() + ttlMs });
      if (ended) finishedBytes += sizeOf(record);
      sweep();
    },
    sweep,
  };
}

function sizeOf({ end }: TaskRecord): number {
  return RECORD_BYTES + (end?.length ?? 0);
}
