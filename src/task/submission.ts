import { z } from 'zod';
import type { Submission } from './task.ts';

/** What a submission has, as messages and records carry it. */
export const submissionFields = {
  id: z.guid(),
  owner: z.string(),
  model: z.object({ name: z.string().min(1), version: z.string().min(1), fingerprint: z.string().min(1) }),
  door: z.enum(['typed', 'tensors']),
  submittedAt: z.int().nonnegative(),
  expiresAt: z.int().nonnegative().optional(),
  content: z.string().optional(),
  traceparent: z.string().optional(),
};

/** Keys that another release adds are passed over: API and workers may differ. */
export const submissionSchema: z.ZodType<Submission> = z.object(submissionFields);

/** The submission of what is more than that, and nothing else of it. */
export function submissionOf(of: Submission): Submission {
  const { id, owner, model, door, submittedAt, expiresAt, content, traceparent } = of;
  const { name, version, fingerprint } = model;
  const own = { id, owner, model: { name, version, fingerprint }, door, submittedAt, expiresAt, content, traceparent };
  return own satisfies Record<keyof Submission, unknown>;
}
