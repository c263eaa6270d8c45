/** What the handler of a delivery says is to be done with it; it cannot forget to settle, nor settle twice. */
export type Verdict =
  | 'ack'
  | 'dead-letter'
  /** Given out again at once, to whoever is there: for one that closes, or has no room. No attempt. */
  | 'requeue'
  /** It was tried and is to be tried again: one more attempt, or so many in all where more are known of than the message says. */
  | { retryAfterMs: number; attempts?: number }
  /** It could not be tried here, but perhaps elsewhere or later: no attempt, one more return. */
  | { returnAfterMs: number; attempts?: number };

export interface BrokerMessage {
  /** The task's id. */
  id: string;
  body: Uint8Array;
  /** Attempts that were made before this message was published: counted by us, never by the broker. */
  attemptsBefore: number;
  /** How often it was returned without an attempt. @default 0 */
  returnsBefore?: number;
  /** The span that published it, as W3C Trace Context writes it. */
  traceparent?: string | undefined;
  /** The most tasks of its model that share a run: a worker may be given as many together. A delivery need not say it. @default 1 */
  maxBatch?: number | undefined;
}

export interface Delivery extends BrokerMessage {
  returnsBefore: number;
  /** Whether it was given out before, to somebody who did not settle it and may be gone. */
  redelivered: boolean;
  /**
   * Aborts when the delivery is no longer ours: what it came by is gone, and the broker will give it out again. Shared by all that
   * came the same way, and older than they are: whoever listens to it stops when the delivery is settled.
   */
  signal: AbortSignal;
}

export interface Consumer {
  /** Takes no more deliveries until `resume`; those in hand stay, and those already on their way are still handled. */
  pause(): void;
  resume(): void;
  /** Takes no more deliveries; resolves when the verdict of each one in hand has reached the broker (or its channel is gone). */
  close(): Promise<void>;
  /** Like `close`, but hurries nothing: a message that is to come back is published however long that takes. */
  retire(): Promise<void>;
}

/** What was done with a delivery, for those who count. */
export type VerdictKind = 'ack' | 'dead-letter' | 'requeue' | 'retry' | 'return';

/** Hears what goes on inside a broker. It is called in the middle of it, and must not throw. */
export interface BrokerObserver {
  /** A connection that was lost is there again. */
  onReconnect?(connection: 'publishing' | 'consuming'): void;
  /** A verdict on a delivery of this queue has taken effect. */
  onVerdict?(queue: string, kind: VerdictKind): void;
}

/**
 * Carries prediction messages from the API to the workers, at least once. Queues are named by `topology.ts` and made by
 * whoever needs them first. Both implementations pass `tests/contract/broker.ts`.
 */
export interface Broker {
  /** Whether a message published now could be confirmed. */
  isReady(): boolean;
  /** Resolves once the broker has confirmed the message; rejects with `BrokerUnavailable` if it does not within five seconds. */
  publish(queue: string, message: BrokerMessage): Promise<void>;
  /**
   * Hands deliveries to `handler`, at most `prefetch` unsettled ones at a time, and at most as many (rounded up to whole messages of
   * the broker's) of those that travel together, and goes on doing so through every reconnect. `{ retryAfterMs }` and `{ returnAfterMs }` publish the message again, with one more attempt or one more
   * return counted, to come back after the next longer delay of the ladder, and ack it once that is confirmed. It comes
   * back to the queue that it was first published to, a dead letter too. A handler that throws is a bug: the delivery is
   * given out again after a pause.
   */
  consume(
    options: { queue: string; prefetch: number },
    handler: (delivery: Delivery) => Promise<Verdict>,
  ): Promise<Consumer>;
  /**
   * Makes queues, so that the first messages of each are as safe as any later ones. Rejects with `BrokerUnavailable`; what
   * is missing then is made by whoever needs it first.
   */
  prepare(queues: readonly string[]): Promise<void>;
  /** Messages that wait in a queue, not counting unsettled deliveries. Rejects with `BrokerUnavailable` after a second. */
  depth(queue: string): Promise<number>;
  close(): Promise<void>;
}
