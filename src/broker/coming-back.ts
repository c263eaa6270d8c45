import type { BrokerMessage, Verdict, VerdictKind } from './broker.ts';
import { DEAD_LETTER_QUEUE, type DelayQueue, delayQueueFor } from './topology.ts';

/** A message on its way back to its queue: what it then says, and the delay queue that it waits in. */
export interface ComingBack extends DelayQueue {
  message: BrokerMessage;
}

/** What becomes of a message by a verdict that lets it come back. */
export function comingBack(said: BrokerMessage, verdict: Extract<Verdict, object>): ComingBack {
  const { id, body, attemptsBefore, returnsBefore = 0, traceparent } = said;
  // Written out: a delivery says more, and its signal would outlive it.
  const kept = { id, body, traceparent };
  if ('retryAfterMs' in verdict) {
    const { attempts = attemptsBefore + 1 } = verdict;
    return { ...delayQueueFor(verdict.retryAfterMs), message: { ...kept, attemptsBefore: attempts, returnsBefore } };
  }
  const { attempts = attemptsBefore } = verdict;
  const message = { ...kept, attemptsBefore: attempts, returnsBefore: returnsBefore + 1 };
  return { ...delayQueueFor(verdict.returnAfterMs), message };
}

/** Under which name a verdict is counted. */
export function kindOf(verdict: Verdict): VerdictKind {
  if (typeof verdict === 'string') return verdict;
  return 'retryAfterMs' in verdict ? 'retry' : 'return';
}

/** What a broker can do with a delivery by itself. */
export type Settling = Exclude<Verdict, object>;

/**
 * How a delivery is to be settled that brought these messages, one or the members of a bundle, once all is published that is to come back. Of a bundle a
 * dead letter is published as well: RabbitMQ would move all of it.
 */
export async function carriedOut(
  members: readonly BrokerMessage[],
  verdicts: readonly Verdict[],
  publish: (again: ComingBack) => Promise<'ack' | 'requeue'>,
): Promise<Settling> {
  // All of a bundle is given out again for one of its members; those that have ended are found to have. Nothing of it is published
  // before that is known: whoever runs what comes back would be taken for dead as soon as the bundle comes again.
  if (verdicts.includes('requeue')) return 'requeue';
  const [first = 'ack'] = verdicts;
  if (members.length === 1 && typeof first === 'string') return first;
  const settlings = members.map((member, i) => {
    const { [i]: verdict = 'ack' } = verdicts;
    if (verdict === 'dead-letter') return publish({ queue: DEAD_LETTER_QUEUE, delayMs: 0, message: member });
    return typeof verdict === 'string' ? verdict : publish(comingBack(member, verdict));
  });
  return (await Promise.all(settlings)).includes('requeue') ? 'requeue' : 'ack';
}
