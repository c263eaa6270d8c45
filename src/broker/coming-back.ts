import type { BrokerMessage, Verdict } from './broker.ts';
import { type RetryRung, retryRung } from './topology.ts';

/** A message on its way back to its queue: what it then says, and the rung that it waits on. */
export interface ComingBack extends RetryRung {
  message: BrokerMessage;
}

/** What becomes of a message by a verdict that lets it come back. */
export function comingBack(
  { id, body, attemptsBefore, returnsBefore = 0 }: BrokerMessage,
  verdict: Extract<Verdict, object>,
): ComingBack {
  if ('retryAfterMs' in verdict) {
    const message = { id, body, attemptsBefore: attemptsBefore + 1, returnsBefore };
    return { ...retryRung(verdict.retryAfterMs), message };
  }
  const message = { id, body, attemptsBefore, returnsBefore: returnsBefore + 1 };
  return { ...retryRung(verdict.returnAfterMs), message };
}
