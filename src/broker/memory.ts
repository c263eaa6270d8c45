import { setTimeout as sleep } from 'node:timers/promises';
import { BrokerUnavailable } from '../errors.ts';
import type { Log } from '../log.ts';
import type { Broker, BrokerMessage, Consumer, Delivery, Verdict } from './broker.ts';
import { type ComingBack, comingBack } from './coming-back.ts';
import { createMemoryQueue, type MemoryQueue } from './memory-queue.ts';
import { DEAD_LETTER_QUEUE } from './topology.ts';

/** Bodies in the broker, from their publish to their ack; beyond that it refuses more, as RabbitMQ does when it is full. */
const WAITING_BYTES_MAX = 1024 * 1024 * 1024;

/** Before a delivery whose handler threw is given out again: no hot loop. */
const REQUEUE_PAUSE_MS = 1_000;

type Handler = (delivery: Delivery) => Promise<Verdict>;

/** A broker in this process, which keeps nothing beyond it. */
export function createMemoryBroker(log: Log): Broker {
  const queues = new Map<string, MemoryQueue>();
  const closing = new AbortController();
  const inHand = new Set<AbortController>();
  let waitingBytes = 0;

  function queueOf(name: string): MemoryQueue {
    const known = queues.get(name);
    if (known) return known;
    const queue = createMemoryQueue();
    queues.set(name, queue);
    return queue;
  }

  /** Resolves when the broker closes, if that is earlier. */
  async function pause(ms: number): Promise<void> {
    await sleep(ms, undefined, { signal: closing.signal }).catch(() => undefined);
  }

  async function verdictOf(queue: string, handler: Handler, message: BrokerMessage): Promise<Verdict | 'requeue'> {
    const ours = new AbortController();
    inHand.add(ours);
    try {
      return await handler({ ...message, returnsBefore: message.returnsBefore ?? 0, signal: ours.signal });
    } catch (error) {
      log.error({ queue, taskId: message.id, err: error }, 'handler failed');
      await pause(REQUEUE_PAUSE_MS);
      return 'requeue';
    } finally {
      inHand.delete(ours);
    }
  }

  async function comeBack(queue: string, { delayMs, message }: ComingBack): Promise<void> {
    await pause(delayMs);
    queueOf(queue).push(message);
  }

  async function deliver(queue: string, handler: Handler, message: BrokerMessage): Promise<void> {
    const verdict = await verdictOf(queue, handler, message);
    if (verdict === 'ack') waitingBytes -= message.body.byteLength;
    else if (verdict === 'requeue') queueOf(queue).giveBack(message);
    else if (verdict === 'dead-letter') queueOf(DEAD_LETTER_QUEUE).push(message);
    // The delivery is settled now; the message waits without it.
    else void comeBack(queue, comingBack(message, verdict));
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
      queueOf(queue).push(message);
    },
    consume: async ({ queue, prefetch }, handler): Promise<Consumer> => {
      if (closing.signal.aborted) throw new BrokerUnavailable('the broker is closed');
      return queueOf(queue).consume(prefetch, (message) => deliver(queue, handler, message), closing.signal);
    },
    depth: async (queue) => queues.get(queue)?.depth() ?? 0,
    close: async () => {
      const reason = new Error('the broker is closed');
      closing.abort(reason);
      for (const ours of inHand) ours.abort(reason);
    },
  };
}
