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

/** Submits from several sides at once until somebody was refused so often; every answer. */
export async function submitUntilRefused(
  it: FaultCase,
  client: Client,
  { sample, times, sides = 5 }: { sample: Sample; times: number; sides?: number },
): Promise<Answer[]> {
  const answers: Answer[] = [];
  let refused = 0;
  const submitOn = async () => {
    while (refused < times) {
      const answer = await submitAnyway(it, client, sample);
      answers.push(answer);
      if (answer.refusal) refused += 1;
    }
  };
  await Promise.all(Array.from({ length: sides }, submitOn));
  return answers;
}
