import { once } from 'node:events';
import type { BrokerMessage, Consumer } from './broker.ts';

/** First in, first out, handed to consumers in turn. */
export interface MemoryQueue {
  push(message: BrokerMessage): void;
  /** Back to the head, where it was taken from. */
  giveBack(message: BrokerMessage): void;
  /** Calls `deliver` for one message after the other, at most `prefetch` unsettled ones at a time, until the signal aborts. */
  consume(prefetch: number, deliver: (message: BrokerMessage) => Promise<void>, closing: AbortSignal): Consumer;
  depth(): number;
}

interface MemoryConsumer {
  prefetch: number;
  deliver: (message: BrokerMessage) => Promise<void>;
  inHand: Set<Promise<void>>;
}

/** Messages already taken from the front of an array, before the array is cut. */
const TAKEN_MAX = 1_024;

export function createMemoryQueue(): MemoryQueue {
  const returned: BrokerMessage[] = [];
  let waiting: BrokerMessage[] = [];
  let taken = 0;
  let consumers: MemoryConsumer[] = [];

  function take(): BrokerMessage | undefined {
    const again = returned.pop();
    if (again) return again;
    const message = waiting[taken];
    if (message) taken += 1;
    // Cutting the front off for each message would copy the whole array each time.
    if (taken === waiting.length || taken > Math.max(TAKEN_MAX, waiting.length / 2)) {
      waiting = waiting.slice(taken);
      taken = 0;
    }
    return message;
  }

  function dispatch(): void {
    for (;;) {
      const consumer = consumers.find(({ inHand, prefetch }) => inHand.size < prefetch);
      const message = consumer && take();
      if (!consumer || !message) return;
      consumers = [...consumers.filter((other) => other !== consumer), consumer];
      const settled = Promise.resolve(message)
        .then(consumer.deliver)
        .finally(() => {
          consumer.inHand.delete(settled);
          dispatch();
        });
      consumer.inHand.add(settled);
    }
  }

  return {
    push: (message) => {
      waiting.push(message);
      dispatch();
    },
    giveBack: (message) => {
      returned.push(message);
      dispatch();
    },
    depth: () => returned.length + waiting.length - taken,
    consume: (prefetch, deliver, closing) => {
      const consumer: MemoryConsumer = { prefetch, deliver, inHand: new Set() };
      const remove = () => {
        consumers = consumers.filter((other) => other !== consumer);
      };
      consumers.push(consumer);
      closing.addEventListener('abort', remove);
      dispatch();
      return {
        close: async () => {
          remove();
          closing.removeEventListener('abort', remove);
          const done = new AbortController();
          const brokerClosed =
            closing.aborted || once(closing, 'abort', { signal: done.signal }).catch(() => undefined);
          await Promise.race([Promise.all(consumer.inHand), brokerClosed]);
          done.abort();
        },
      };
    },
  };
}
