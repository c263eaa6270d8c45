import type { Client } from './client.ts';
import type { FaultCase } from './fault-case.ts';
import type { Sample } from './samples.ts';

const SUBMIT = 'mutation ($input: PredictionInput!) { submitPrediction(input: $input) { id } }';

/** How the service answered a submission. */
export interface Answer {
  /** If it was accepted. */
  id: string | undefined;
  /** Why not, else. */
  refusal: { code: string } | undefined;
  afterMs: number;
}

/** Submits, whatever the answer: the case knows of it, and the test sees it. */
export async function submitAnyway({ checker }: FaultCase, client: Client, sample: Sample): Promise<Answer> {
  const askedAt = performance.now();
  const answer = await client.ask<{ submitPrediction: { id: string } }>(SUBMIT, { input: sample.input });
  const afterMs = performance.now() - askedAt;
  const id = answer.data?.submitPrediction.id;
  if (id === undefined) checker.refused(afterMs);
  else checker.accepted(id, sample);
  return { id, refusal: answer.errors?.[0]?.extensions, afterMs };
}
