import { forgetOldest } from '../async/oldest-first.ts';
import { findingText, mergeSharing, type Sharing, type Sharings } from '../models/sharing.ts';

/** The most findings that are remembered; beyond it the oldest go first, and are found again when they are needed. */
const FINDINGS_MAX = 10_000;

/** Findings of this process alone. Calls `onChange` when one is another than before. */
export function createMemorySharing(onChange: () => void = () => undefined): Sharings {
  const known = new Map<string, Sharing>();
  return {
    sharing: (key) => known.get(key),
    findSharing: async (key) => known.get(key),
    async recordSharing(key, sharing) {
      const held = known.get(key);
      const merged = mergeSharing(held, sharing);
      if (held && findingText(merged) === findingText(held)) return held;
      known.set(key, merged);
      forgetOldest(known, FINDINGS_MAX);
      onChange();
      return merged;
    },
  };
}
