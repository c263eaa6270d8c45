import { setTimeout as sleep } from 'node:timers/promises';
import type { Channel, ConsumeMessage } from 'amqplib';
import type { Log } from '../../process/log.ts';
import type { BrokerObserver, Delivery, Verdict } from '../broker.ts';
import { type ComingBack, carriedOut, kindOf, type Settling } from '../coming-back.ts';
import { createAcks } from './amqp-acks.ts';
import { type ReadMessage, readMessages } from './amqp-properties.ts';
import type { Publisher } from './amqp-publisher.ts';

/** Before a delivery whose handler threw is given out again, and between attempts to publish a retry: no hot loop. */
const PAUSE_MS = 1_000;

export interface DeliveriesOptions {
  queue: string;
  handler: (delivery: Delivery) => Promise<Verdict>;
  /** The one that delivers: a tag means nothing to any other, and an unknown tag costs the channel. */
  channel: Channel;
  /** Aborts when the channel is gone: RabbitMQ gives the deliveries out again, and a late verdict is dropped. */
  lost: AbortSignal;
  /** Aborts when the consumer closes; ends every pause. */
  closing: AbortSignal;
  publisher: Publisher;
  observer: BrokerObserver;
  log: Log;
}

/** The deliveries of one channel that wait for their verdict. */
export interface Deliveries {
  /** Resolves when it is settled, or no longer ours. */
  take(message: ConsumeMessage): Promise<void>;
  /** Resolves when none is left. */
  settled(): Promise<void>;
}

export function createDeliveries(options: DeliveriesOptions): Deliveries {
  const { queue, handler, channel, lost: signal, log } = options;
  const inHand = new Set<Promise<void>>();
  // amqplib throws on a channel that is closing; its deliveries go out again.
  const acks = createAcks(channel, (err) => log.debug({ queue, err }, 'verdict came too late'));

  async function handle(message: ConsumeMessage): Promise<void> {
    const { messages, origin } = readMessages(message, queue);
    const { redelivered } = message.fields;
    const verdicts = await Promise.all(messages.map((said) => verdictOn(said, redelivered)));
    const how = await carriedOut(messages, verdicts, (again) => publishAgain(again, origin, signal, options));
    // The one place where deliveries are settled; nothing is awaited between this check and the channel.
    if (signal.aborted) return;
    settle(message, how);
    for (const verdict of verdicts) options.observer.onVerdict?.(queue, how === 'requeue' ? how : kindOf(verdict));
  }

  async function verdictOn(said: ReadMessage, redelivered: boolean): Promise<Verdict> {
    try {
      return await handler({ ...said, redelivered, signal });
    } catch (error) {
      log.error({ queue, taskId: said.id, err: error }, 'handler failed');
      await pause(signal, options.closing);
      return 'requeue';
    }
  }

  function settle(message: ConsumeMessage, how: Settling): void {
    if (how === 'ack') acks.ack(message);
    // RabbitMQ moves it: kept here until the dead letters' queue has confirmed it, as after too many redeliveries.
    else acks.nack(message, how === 'requeue');
  }

  return {
    take: async (message) => {
      // It was on its way when the close began: others need not wait until the rest is settled.
      if (options.closing.aborted) return settle(message, 'requeue');
      const handled = handle(message).finally(() => inHand.delete(handled));
      inHand.add(handled);
      return handled;
    },
    settled: async () => {
      while (inHand.size > 0) await Promise.all(inHand);
      acks.flush();
    },
  };
}

/**
 * Publishes the message to come back later, or as a dead letter; the original is acked only once that is confirmed. Until then it is held,
 * not given back: a handler must not run again, nor RabbitMQ count a delivery, because a publish failed.
 */
async function publishAgain(
  { queue: exchange, message: again }: ComingBack,
  origin: string,
  signal: AbortSignal,
  { queue, publisher, closing, log }: DeliveriesOptions,
): Promise<'ack' | 'requeue'> {
  for (let attempt = 0; !signal.aborted && !closing.aborted; attempt += 1) {
    try {
      // A dead letter outlives the queue that it came from.
      if (origin !== queue) await publisher.prepare(origin);
      await publisher.publish({ exchange, routingKey: origin, origin }, again);
      return 'ack';
    } catch (error) {
      if (attempt === 0) log.warn({ queue, taskId: again.id, err: error }, 'message not published again yet');
      await pause(signal, closing);
    }
  }
  return 'requeue';
}

async function pause(...signals: AbortSignal[]): Promise<void> {
  await sleep(PAUSE_MS, undefined, { signal: AbortSignal.any(signals) }).catch(() => undefined);
}
