import type { Deadlines } from '../deadlines.ts';

/** Deadlines in this process's memory. A hundred thousand are looked through in about a millisecond, so none is sorted before it is due. */
export function createMemoryDeadlines(): Deadlines {
  const expiresAtOf = new Map<string, number>();
  return {
    async add(deadlines) {
      for (const { id, expiresAt } of deadlines) expiresAtOf.set(id, expiresAt);
    },
    async due(now, limit) {
      const due = [...expiresAtOf].filter(([, expiresAt]) => expiresAt <= now).sort(([, a], [, b]) => a - b);
      return due.slice(0, limit).map(([id]) => id);
    },
    async remove(ids) {
      for (const id of ids) expiresAtOf.delete(id);
    },
  };
}
