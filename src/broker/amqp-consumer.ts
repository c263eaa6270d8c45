import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Log } from '../log.ts';
import { type AmqpConnection, backOffMs, dropWith, type Link, unlessLost } from './amqp-connection.ts';
import { createDeliveries } from './amqp-deliveries.ts';
import type { Publisher } from './amqp-publisher.ts';
import { declareQueue, declareStandingTopology } from './amqp-topology.ts';
import type { Consumer, Delivery, Verdict } from './broker.ts';

/** A cancel and a close are answered at once; where they are not, the connection is lost and does not know it yet. */
const ANSWER_TIMEOUT_MS = 5_000;

export interface ConsumerOptions {
  queue: string;
  prefetch: number;
  handler: (delivery: Delivery) => Promise<Verdict>;
  publisher: Publisher;
  log: Log;
}

/** Consumers need no channel before they come; only the queues that they dead-letter to. */
export async function buildConsumingLink(link: Link): Promise<Link> {
  await declareStandingTopology(link);
  return link;
}

/** Consumes a queue on every link that comes. What keeps one queue from being consumed leaves the others alone. */
export function attachConsumer(connection: AmqpConnection<Link>, options: ConsumerOptions): Consumer {
  const { queue, log } = options;
  const closing = new AbortController();
  let failures = 0;

  async function consumeAlways(): Promise<void> {
    while (!closing.signal.aborted) {
      try {
        const link = await connection.ready(closing.signal);
        await consumeOn(link, options, closing.signal, () => {
          if (failures > 0) log.info({ queue }, 'queue consumed again');
          failures = 0;
        });
      } catch (error) {
        if (closing.signal.aborted) return;
        if (failures === 0) log.error({ queue, err: error }, 'queue not consumed');
        failures += 1;
        await sleep(backOffMs(failures), undefined, { signal: closing.signal }).catch(() => undefined);
      }
    }
  }

  const consuming = consumeAlways();
  return {
    close: () => {
      closing.abort(new Error('the consumer is closed'));
      return consuming;
    },
  };
}

/** Resolves when the link is lost, or when the consumer was closed and its last verdict has gone out. */
async function consumeOn(
  link: Link,
  options: ConsumerOptions,
  closing: AbortSignal,
  onConsuming: () => void,
): Promise<void> {
  const { queue, prefetch } = options;
  try {
    await unlessLost(link, declareQueue(link, queue));
    // One channel each: its prefetch is this consumer's alone, and its close is a barrier behind this consumer's acks.
    const channel = await unlessLost(link, link.model.createChannel());
    dropWith(channel, link, closing);
    const deliveries = createDeliveries({ ...options, channel, lost: link.lost, closing });
    await unlessLost(link, channel.prefetch(prefetch));
    const { consumerTag } = await unlessLost(
      link,
      channel.consume(queue, (message) => {
        if (message === null) link.drop(new Error(`queue "${queue}" was deleted under its consumer`));
        // What arrives after the close began stays unacked; the end of the channel gives it back.
        else if (!closing.aborted) deliveries.take(message);
      }),
    );
    onConsuming();
    if (!closing.aborted) await unlessLost(link, once(closing, 'abort', { signal: link.lost }));
    await answered(link, channel.cancel(consumerTag));
    await unlessLost(link, deliveries.settled());
    await answered(link, channel.close());
  } catch (error) {
    // Told by the connection, which makes another link.
    if (!link.lost.aborted) throw error;
  }
}

async function answered(link: Link, answer: Promise<unknown>): Promise<void> {
  const timer = setTimeout(() => link.drop(new Error('RabbitMQ did not answer')), ANSWER_TIMEOUT_MS);
  try {
    await unlessLost(link, answer);
  } finally {
    clearTimeout(timer);
  }
}
