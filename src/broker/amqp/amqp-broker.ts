import { BrokerUnavailable } from '../../errors.ts';
import type { Log } from '../../process/log.ts';
import type { Broker, BrokerObserver, Consumer } from '../broker.ts';
import { queuesOf } from '../topology.ts';
import { type AmqpConnection, type Link, superviseConnection } from './amqp-connection.ts';
import { attachConsumer, buildConsumingLink } from './amqp-consumer.ts';
import { createPublisher } from './amqp-publisher.ts';
import { buildPublishingLink } from './amqp-publishing-link.ts';
import { createBundling } from './bundles/amqp-bundling.ts';

/**
 * RabbitMQ, by two connections: when it is short of memory or disk it reads nothing from those that publish, and acks on
 * the same one would wait behind the alarm that only consuming can end. Connects in the background, for ever.
 */
export function createAmqpBroker(brokerUrl: string, log: Log, observer: BrokerObserver = {}): Broker {
  const publishing = superviseConnection({
    brokerUrl,
    purpose: 'publishing',
    build: (link) => buildPublishingLink(link, log),
    observer,
    log,
  });
  const publisher = createPublisher(publishing);
  const consumers = new Set<Consumer>();
  // An API never consumes and needs no second connection.
  let consuming: AmqpConnection<Link> | undefined;
  let isClosed = false;

  return {
    isReady: () => publisher.isReady() && (consuming === undefined || consuming.current() !== undefined),
    publish: createBundling(publisher),
    consume: async ({ queue, prefetch }, handler) => {
      if (isClosed) throw new BrokerUnavailable('the broker is closed');
      consuming ??= superviseConnection({ brokerUrl, purpose: 'consuming', build: buildConsumingLink, observer, log });
      const consumer = attachConsumer(consuming, { queue, prefetch, handler, publisher, observer, log });
      consumers.add(consumer);
      return {
        ...consumer,
        close: async () => {
          await consumer.close();
          consumers.delete(consumer);
        },
      };
    },
    prepare: async (queues) => {
      await Promise.all(queues.flatMap(queuesOf).map(({ queue }) => publisher.prepare(queue)));
    },
    depth: async (queue) => {
      const depths = await Promise.all(
        queuesOf(queue).map(async ({ queue: each, tasks }) => tasks * (await publisher.depth(each))),
      );
      return depths.reduce((sum, depth) => sum + depth, 0);
    },
    close: async () => {
      isClosed = true;
      // They are told to end first, and end at the latest with their connection.
      const consumersClosed = Promise.all([...consumers].map((consumer) => consumer.close()));
      await Promise.all([publisher.close().then(() => publishing.close()), consuming?.close()]);
      await consumersClosed;
    },
  };
}
