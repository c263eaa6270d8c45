import type { TaskRecord } from '../../task/record.ts';
import { isTerminal } from '../../task/task.ts';
import { allocatedBytes, RECORD_BYTES } from '../room.ts';
import type { Tally } from '../tally.ts';

interface Kept {
  record: TaskRecord;
  expiresAt: number;
}

/** Records in memory, each with its time to live, counted by their owners. */
export interface MemoryRecords {
  find(id: string): TaskRecord | undefined;
  put(id: string, record: TaskRecord, ttlMs: number): void;
  /** Lets go of the owner's oldest result; `false` where there is none. */
  evict(owner: string): boolean;
  /** Lets go of what has expired. */
  sweep(): void;
}

export function createMemoryRecords(tally: Tally): MemoryRecords {
  // Each map holds records of one time to live, in the order they were written, so that the first is the first to go.
  const unfinished = new Map<string, Kept>();
  const finished = new Map<string, Kept>();
  const finishedOf = new Map<string, Set<string>>();

  function remove(id: string): void {
    const record = (unfinished.get(id) ?? finished.get(id))?.record;
    if (!record) return;
    unfinished.delete(id);
    finished.delete(id);
    const owner = ownerOf(record);
    tally.add(owner, -sizeOf(record));
    const own = finishedOf.get(owner);
    own?.delete(id);
    if (own?.size === 0) finishedOf.delete(owner);
  }

  return {
    find(id) {
      const kept = unfinished.get(id) ?? finished.get(id);
      return kept && kept.expiresAt > Date.now() ? kept.record : undefined;
    },
    put(id, record, ttlMs) {
      remove(id);
      const owner = ownerOf(record);
      tally.add(owner, sizeOf(record));
      // A tombstone lives as long as an unfinished task.
      const hasEnded = isTerminal(record.state) && record.state !== 'WITHDRAWN';
      (hasEnded ? finished : unfinished).set(id, { record, expiresAt: Date.now() + ttlMs });
      if (hasEnded) finishedOf.set(owner, (finishedOf.get(owner) ?? new Set()).add(id));
    },
    evict(owner) {
      for (const oldest of finishedOf.get(owner) ?? []) {
        remove(oldest);
        return true;
      }
      return false;
    },
    sweep() {
      const now = Date.now();
      for (const kept of [unfinished, finished]) {
        for (const [id, { expiresAt }] of kept) {
          if (expiresAt > now) break;
          remove(id);
        }
      }
    },
  };
}

/** A tombstone of a record that was lost is nobody's. */
function ownerOf({ submission }: TaskRecord): string {
  return submission?.owner ?? '';
}

function sizeOf({ end }: TaskRecord): number {
  return RECORD_BYTES + allocatedBytes(end?.length ?? 0);
}
