import type { BrokerMessage, Verdict, VerdictKind } from './broker.ts';
import { type RetryRung, retryRung } from './topology.ts';

/** A message on its way back to its queue: what it then says, and the rung that it waits on. */
export interface ComingBack extends RetryRung {
  message: BrokerMessage;
}

/** What becomes of a message by a verdict that lets it come back. */
export function comingBack(said: BrokerMessage, verdict: Extract<Verdict, object>): ComingBack {
  const { id, body, attemptsBefore, returnsBefore = 0, traceparent } = said;
  // Written out: a delivery says more, and its signal would outlive it.
  const kept = { id, body, traceparent };
  if ('retryAfterMs' in verdict) {
    const { attempts = attemptsBefore + 1 } = verdict;
    return { ...retryRung(verdict.retryAfterMs), message: { ...kept, attemptsBefore: attempts, returnsBefore } };
  }
  const { attempts = attemptsBefore } = verdict;
  const message = { ...kept, attemptsBefore: attempts, returnsBefore: returnsBefore + 1 };
  return { ...retryRung(verdict.returnAfterMs), message };
}

/** Under which name a verdict is counted. */
export function kindOf(verdict: Verdict): VerdictKind {
  if (typeof verdict === 'string') return verdict;
  return 'retryAfterMs' in verdict ? 'retry' : 'return';
}
