import { gathering } from '../../../async/gather.ts';
import type { Broker, BrokerMessage } from '../../broker.ts';
import { BUNDLE_SIZE, bundleQueueOf, EXCHANGE } from '../../topology.ts';
import type { Publisher } from '../amqp-publisher.ts';
import { bundleOf } from './amqp-bundle.ts';

/** Larger bodies go by themselves: a message has its cost, whatever its bytes. */
const BUNDLED_BYTES_MAX = 16 * 1024;

/**
 * Publishes in bundles what is asked for within one turn of the event loop and may go to one worker. What is left over, fewer than make a bundle, goes message
 * by message, and so does what is to be attempted again. A message of four tasks costs RabbitMQ little more than that of one.
 */
export function createBundling(publisher: Pick<Publisher, 'publish'>): Broker['publish'] {
  const known = new Map<string, (message: BrokerMessage) => Promise<void>>();

  function alone(queue: string, message: BrokerMessage): Promise<void> {
    return publisher.publish({ exchange: EXCHANGE, routingKey: queue, origin: queue }, message);
  }

  function togetherOf(queue: string): (message: BrokerMessage) => Promise<void> {
    const bundleQueue = bundleQueueOf(queue);
    if (bundleQueue === undefined) return (message) => alone(queue, message);
    const route = { exchange: EXCHANGE, routingKey: bundleQueue, origin: queue };
    return gathering<BrokerMessage, void>({
      max: BUNDLE_SIZE,
      ask: async (messages) => {
        if (messages.length < BUNDLE_SIZE) {
          return Promise.all(messages.map((message) => alone(queue, message).catch(asError)));
        }
        await publisher.publish(route, bundleOf(messages));
        return [];
      },
    });
  }

  return (queue, message) => {
    if (!isBundled(message)) return alone(queue, message);
    const together = known.get(queue) ?? togetherOf(queue);
    known.set(queue, together);
    return together(message);
  };
}

function isBundled({ body, attemptsBefore, returnsBefore = 0, maxBatch = 1 }: BrokerMessage): boolean {
  const isFirst = attemptsBefore === 0 && returnsBefore === 0;
  return isFirst && maxBatch >= BUNDLE_SIZE && body.byteLength <= BUNDLED_BYTES_MAX;
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error));
}
