/**
 * Most registrations that are withdrawn and still listed; beyond it those that went first are left out. Each adds a third of a millisecond to
 * every making of the schema.
 */
export const WITHDRAWN_MAX = 300;

/** Versions of one model that went within this time went together, with the whole model: several workers drop it one after the other. */
const TOGETHER_MS = 60_000;

/** When something was registered last. */
interface Withdrawn {
  name: string;
  seenAt: number;
}

/** Of each name that is not `current` the versions that went last: an older version, removed before, is no part of what the model was. */
export function lastWithdrawn<T extends Withdrawn>(withdrawn: readonly T[], current: ReadonlySet<string>): T[] {
  const names = Map.groupBy(
    withdrawn.filter(({ name }) => !current.has(name)),
    ({ name }) => name,
  );
  const last = [...names.values()].flatMap((versions) => {
    const seenAt = Math.max(...versions.map((version) => version.seenAt));
    return versions.filter((version) => version.seenAt >= seenAt - TOGETHER_MS);
  });
  return last.toSorted((a, b) => b.seenAt - a.seenAt).slice(0, WITHDRAWN_MAX);
}
