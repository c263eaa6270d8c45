import type { OwnerCosts } from './owner-costs.ts';

interface Owned {
  item: { owner: string };
}

/**
 * Tasks of one lane in the order in which they are to begin: those first whose owners used less time lately, as they came where owners
 * stand alike. Without those of suspect owners where these have as many slots as they may take.
 */
export function inOrder<E extends Owned>(
  entries: readonly E[],
  costs: OwnerCosts | undefined,
  { at, maySuspects }: { at: number; maySuspects: boolean },
): readonly E[] {
  if (!costs || entries.length === 0 || costs.areAlike(at)) return entries;
  const levels = new Map<string, number>();
  const levelOf = ({ item: { owner } }: E) => {
    const level = levels.get(owner) ?? costs.levelOf(owner, at);
    levels.set(owner, level);
    return level;
  };
  const mayBegin = ({ item: { owner } }: E) => maySuspects || costs.standingOf(owner, at) !== 'suspect';
  return entries.filter(mayBegin).sort((a, b) => levelOf(a) - levelOf(b));
}

/** Of tasks in the order they came, those of owners who do not stand as ordinary, beyond the first `spare` of them. */
export function beyond<E extends Owned>(
  entries: readonly E[],
  costs: OwnerCosts,
  { at, spare }: { at: number; spare: number },
): E[] {
  return entries.filter(({ item: { owner } }) => costs.standingOf(owner, at) !== 'ordinary').slice(Math.max(0, spare));
}
