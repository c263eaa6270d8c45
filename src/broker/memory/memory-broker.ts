import { createAbortListeners } from '../../async/abort-listeners.ts';
import { BrokerUnavailable } from '../../errors.ts';
import type { Log } from '../../process/log.ts';
import type { Broker, BrokerObserver, Consumer, Delivery, Verdict } from '../broker.ts';
import { comingBack, kindOf } from '../coming-back.ts';
import { DEAD_LETTER_QUEUE } from '../topology.ts';
import { createMemoryQueue, type MemoryQueue, type Waiting } from './memory-queue.ts';

/** Bodies in the broker, from their publish until they are settled for good; beyond that it refuses more, as a full RabbitMQ does. */
const WAITING_BYTES_MAX = 1024 * 1024 * 1024;

/** Before a delivery whose handler threw is given out again: no hot loop. */
const REQUEUE_PAUSE_MS = 1_000;

type Handler = (delivery: Delivery) => Promise<Verdict>;

/** A broker in this process, which keeps nothing beyond it. */
export function createMemoryBroker(log: Log, observer: BrokerObserver = {}): Broker {
  const queues = createQueues();
  const closing = new AbortController();
  const onAbort = createAbortListeners();
  const inHand = new Set<AbortController>();
  let waitingBytes = 0;

  /** Resolves when the broker closes, if that is earlier. */
  function pause(ms: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, ms);
    const stop = onAbort(closing.signal, resolve);
    return promise.finally(() => {
      clearTimeout(timer);
      stop();
    });
  }

  async function verdictOf(queue: string, handler: Handler, { message, redelivered }: Waiting): Promise<Verdict> {
    const ours = new AbortController();
    inHand.add(ours);
    try {
      const { returnsBefore = 0 } = message;
      return await handler({ ...message, returnsBefore, redelivered, signal: ours.signal });
    } catch (error) {
      log.error({ queue, taskId: message.id, err: error }, 'handler failed');
      await pause(REQUEUE_PAUSE_MS);
      return 'requeue';
    } finally {
      inHand.delete(ours);
    }
  }

  async function comeBack({ message, origin }: Waiting, verdict: Extract<Verdict, object>): Promise<void> {
    const again = comingBack(message, verdict);
    await pause(again.delayMs);
    queues.of(origin).push({ message: again.message, origin, redelivered: false });
  }

  async function deliver(queue: string, handler: Handler, waiting: Waiting): Promise<void> {
    const verdict = await verdictOf(queue, handler, waiting);
    if (closing.signal.aborted) return;
    const isDead = verdict === 'dead-letter' && queue !== DEAD_LETTER_QUEUE;
    if (verdict === 'requeue') queues.of(queue).giveBack({ ...waiting, redelivered: true });
    else if (isDead) queues.of(DEAD_LETTER_QUEUE).push({ ...waiting, redelivered: false });
    // The delivery is settled now; the message waits without it.
    else if (typeof verdict === 'object') void comeBack(waiting, verdict);
    else waitingBytes -= waiting.message.body.byteLength;
    observer.onVerdict?.(queue, kindOf(verdict));
  }

  return {
    isReady: () => !closing.signal.aborted,
    publish: async (queue, message) => {
      const bytes = message.body.byteLength;
      if (closing.signal.aborted) throw new BrokerUnavailable('the broker is closed');
      if (waitingBytes + bytes > WAITING_BYTES_MAX) {
        throw new BrokerUnavailable(`the broker holds ${WAITING_BYTES_MAX} bytes and takes no more`);
      }
      waitingBytes += bytes;
      queues.of(queue).push({ message, origin: queue, redelivered: false });
    },
    consume: async ({ queue, prefetch }, handler): Promise<Consumer> => {
      if (closing.signal.aborted) throw new BrokerUnavailable('the broker is closed');
      return queues.of(queue).consume(prefetch, (waiting) => deliver(queue, handler, waiting), closing.signal);
    },
    prepare: async () => undefined,
    depth: async (queue) => queues.find(queue)?.depth() ?? 0,
    close: async () => {
      const reason = new Error('the broker is closed');
      closing.abort(reason);
      for (const ours of inHand) ours.abort(reason);
    },
  };
}

/** By their names, each from its first use on. */
function createQueues() {
  const queues = new Map<string, MemoryQueue>();
  return {
    find: (name: string) => queues.get(name),
    of(name: string): MemoryQueue {
      const queue = queues.get(name) ?? createMemoryQueue();
      queues.set(name, queue);
      return queue;
    },
  };
}
