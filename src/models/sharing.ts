import { createHash } from 'node:crypto';
import { z } from 'zod';
import type { ServedModel } from './served-model.ts';

/** Whether each row of a shared run gets the values that it gets alone. */
export type Finding = 'independent' | 'dependent' | 'unknown';

/** What is known of a model's rows. Tasks share a run only where the finding is `independent`. */
export interface Sharing {
  finding: Finding;
  /** A sentence for people: the tensor or probe that forbids sharing, the `example` that would settle it, or why the proof was skipped. */
  reason?: string | undefined;
  /** Found after a finding had made the model's types: sharing has ended, and the types stay. */
  inUse?: boolean | undefined;
  /** Names the probes that an `unknown` was found with: other ones are worth another experiment. */
  probes?: string | undefined;
}

export const sharingSchema: z.ZodType<Sharing> = z.object({
  finding: z.enum(['independent', 'dependent', 'unknown']),
  reason: z.string().optional(),
  inUse: z.boolean().optional(),
  probes: z.string().optional(),
});

/** Where findings are kept, for every process that serves or shows the same content. */
export interface Sharings {
  /** The finding under a key of `sharingKeyOf`, as last read. */
  sharing(key: string): Sharing | undefined;
  /** The same, read at once where this process has not read it yet; `undefined` also where the store is away. */
  findSharing(key: string): Promise<Sharing | undefined>;
  /**
   * Keeps a finding, and resolves with the one that holds from now on: see `mergeSharing`. While the store is away the finding
   * holds in this process, and is written once the store is back.
   */
  recordSharing(key: string, sharing: Sharing): Promise<Sharing>;
}

export const SHARING_RANK: Record<Finding, number> = { unknown: 1, independent: 2, dependent: 3 };

/**
 * The finding that holds of two. A dependent one stays for good, and an unknown one gives way to any other. A dependent one that comes
 * after an independent one ends sharing and changes no type, so it says `inUse`.
 */
export function mergeSharing(held: Sharing | undefined, next: Sharing): Sharing {
  if (!held) return next;
  if (held.finding === 'dependent' || SHARING_RANK[next.finding] < SHARING_RANK[held.finding]) return held;
  return held.finding === 'independent' ? overIndependent(next) : next;
}

/** A finding as text, the same in every process for the same finding. */
export function findingText({ finding, reason, inUse, probes }: Sharing): string {
  return JSON.stringify({ finding, reason, inUse, probes });
}

/** What a finding becomes where an independent one is held. */
export function overIndependent(next: Sharing): Sharing {
  return next.finding === 'dependent' ? { ...next, inUse: true } : next;
}

/**
 * Names what a finding is of: the content of all files, and what computes it. A model whose manifest says that it is batched has
 * a key of its own (`assumed`), since no experiment was made.
 */
export function sharingKeyOf(
  { digest, besides = '' }: Pick<ServedModel, 'digest' | 'besides'>,
  executionProviders: readonly { name: string }[],
  { assumed = false } = {},
): string {
  const parts = [digest, besides, assumed, ...executionProviders.map(({ name }) => name)];
  return createHash('sha256').update(JSON.stringify(parts)).digest('hex').slice(0, 24);
}

/** What is known of a served model at this moment. */
export function sharingOf(known: Pick<Sharings, 'sharing'>, model: ServedModel): Sharing {
  if (!model.signature.batched) return { finding: 'dependent', reason: model.unbatched ?? NO_BATCH };
  if (model.sharingKey === undefined) return { finding: 'independent' };
  return known.sharing(model.sharingKey) ?? NOT_KNOWN_YET;
}

/** The most tasks that share a run at this moment. */
export function sharedBatchOf(known: Pick<Sharings, 'sharing'>, model: ServedModel): number {
  return sharingOf(known, model).finding === 'independent' ? model.maxBatch : 1;
}

/** Why tasks do not share a run at this moment, in a sentence; `undefined` where they do. */
export function unbatchedOf(known: Pick<Sharings, 'sharing'>, model: ServedModel): string | undefined {
  const { finding, reason = 'It is not proven that tasks may share a run.' } = sharingOf(known, model);
  if (finding !== 'independent') return reason;
  return model.maxBatch === 1 ? 'model.json says "maxBatch": 1.' : undefined;
}

const NO_BATCH = 'The model has no batch dimension.';
const NOT_KNOWN_YET: Sharing = {
  finding: 'unknown',
  reason: 'No worker has tested yet whether its rows are independent.',
};
