import { abortable } from '../../async/abortable.ts';
import type { BrokerMessage, Consumer } from '../broker.ts';

/** A message as it lies in a queue. */
export interface Waiting {
  message: BrokerMessage;
  /** The queue that it was first published to. */
  origin: string;
  /** It was given out before, and not settled. */
  redelivered: boolean;
}

/** First in, first out, handed to consumers in turn. */
export interface MemoryQueue {
  push(waiting: Waiting): void;
  /** To the head, where it was taken from. */
  giveBack(waiting: Waiting): void;
  /** Calls `deliver` for one message after the other, at most `prefetch` unsettled ones at a time, until the signal aborts. */
  consume(prefetch: number, deliver: (waiting: Waiting) => Promise<void>, closing: AbortSignal): Consumer;
  depth(): number;
}

interface MemoryConsumer {
  prefetch: number;
  deliver: (waiting: Waiting) => Promise<void>;
  inHand: Set<Promise<void>>;
  isPaused: boolean;
}

/** Messages already taken from the front of an array, before the array is cut. */
const TAKEN_MAX = 1_024;

export function createMemoryQueue(): MemoryQueue {
  const returned: Waiting[] = [];
  let queued: Waiting[] = [];
  let taken = 0;
  let consumers: MemoryConsumer[] = [];

  function take(): Waiting | undefined {
    const again = returned.shift();
    if (again) return again;
    const next = queued[taken];
    if (next) taken += 1;
    // Cutting the front off for each message would copy the whole array each time.
    if (taken === queued.length || taken > Math.max(TAKEN_MAX, queued.length / 2)) {
      queued = queued.slice(taken);
      taken = 0;
    }
    return next;
  }

  function dispatch(): void {
    for (;;) {
      const consumer = consumers.find(({ inHand, prefetch, isPaused }) => !isPaused && inHand.size < prefetch);
      const next = consumer && take();
      if (!consumer || !next) return;
      consumers = [...consumers.filter((other) => other !== consumer), consumer];
      const settled = Promise.resolve(next)
        .then(consumer.deliver)
        .finally(() => {
          consumer.inHand.delete(settled);
          dispatch();
        });
      consumer.inHand.add(settled);
    }
  }

  return {
    push: (waiting) => {
      queued.push(waiting);
      dispatch();
    },
    giveBack: (waiting) => {
      returned.push(waiting);
      dispatch();
    },
    depth: () => returned.length + queued.length - taken,
    consume: (prefetch, deliver, closing) => {
      const consumer: MemoryConsumer = { prefetch, deliver, inHand: new Set(), isPaused: false };
      const remove = () => {
        consumers = consumers.filter((other) => other !== consumer);
      };
      consumers.push(consumer);
      closing.addEventListener('abort', remove);
      dispatch();
      const close = async () => {
        remove();
        closing.removeEventListener('abort', remove);
        await abortable(closing, Promise.all(consumer.inHand)).catch((error: unknown) => {
          if (!closing.aborted) throw error;
        });
      };
      return {
        pause: () => {
          consumer.isPaused = true;
        },
        resume: () => {
          consumer.isPaused = false;
          dispatch();
        },
        close,
        // Nothing is in the way of a message that is to come back.
        retire: close,
      };
    },
  };
}
