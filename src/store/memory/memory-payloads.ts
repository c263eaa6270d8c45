import { UNFINISHED_TTL_MS } from '../../task/record.ts';
import type { Submission } from '../../task/task.ts';
import { allocatedBytes } from '../room.ts';
import type { Tally } from '../tally.ts';

/** Inputs in this process's memory, counted by their owners. */
export interface MemoryPayloads {
  put(of: Pick<Submission, 'id' | 'owner'>, payload: Uint8Array): void;
  get(id: string): Uint8Array | undefined;
  remove(id: string): void;
  /** Lets go of those whose time is over. */
  sweep(): void;
}

export function createMemoryPayloads(tally: Tally): MemoryPayloads {
  /** In the order they were put, so that the first is the first to go. */
  const kept = new Map<string, { payload: Uint8Array; owner: string; expiresAt: number }>();

  function remove(id: string): void {
    const found = kept.get(id);
    if (!found) return;
    kept.delete(id);
    tally.add(found.owner, -allocatedBytes(found.payload.byteLength));
  }

  return {
    put({ id, owner }, payload) {
      remove(id);
      tally.add(owner, allocatedBytes(payload.byteLength));
      kept.set(id, { payload, owner, expiresAt: Date.now() + UNFINISHED_TTL_MS });
    },
    get: (id) => kept.get(id)?.payload,
    remove,
    sweep() {
      const now = Date.now();
      for (const [id, { expiresAt }] of kept) {
        if (expiresAt > now) break;
        remove(id);
      }
    },
  };
}
