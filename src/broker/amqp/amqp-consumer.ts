import { setTimeout as sleep } from 'node:timers/promises';
import { backOffMs } from '../../async/back-off.ts';
import type { Log } from '../../process/log.ts';
import type { BrokerObserver, Consumer, Delivery, Verdict } from '../broker.ts';
import { queuesOf } from '../topology.ts';
import { dropWith } from './amqp-channel.ts';
import { type AmqpConnection, BACK_OFF, type Link, unlessLost } from './amqp-connection.ts';
import { createDeliveries } from './amqp-deliveries.ts';
import { createFlow, createIntake, type Flow } from './amqp-flow.ts';
import type { Publisher } from './amqp-publisher.ts';
import { declareQueue, declareStandingTopology } from './amqp-topology.ts';

/** A cancel and a close are answered at once; where they are not, the connection is lost and does not know it yet. */
const ANSWER_TIMEOUT_MS = 5_000;

export interface ConsumerOptions {
  queue: string;
  prefetch: number;
  handler: (delivery: Delivery) => Promise<Verdict>;
  publisher: Publisher;
  observer: BrokerObserver;
  log: Log;
}

/** Consumers need no channel before they come; only the queues that they dead-letter to. */
export async function buildConsumingLink(link: Link): Promise<Link> {
  await declareStandingTopology(link);
  return link;
}

/** Consumes a queue, and its bundles, on every link that comes. What keeps one queue from being consumed leaves the others alone. */
export function attachConsumer(connection: AmqpConnection<Link>, options: ConsumerOptions): Consumer {
  const { queue, log } = options;
  const stopping = new AbortController();
  const closing = new AbortController();
  const flow = createFlow();
  let failures = 0;

  function onConsuming(): void {
    if (failures > 0) log.info({ queue }, 'queue consumed again');
    failures = 0;
  }

  async function consumeAlways(): Promise<void> {
    while (!stopping.signal.aborted) {
      try {
        const link = await connection.ready(stopping.signal);
        const ends = { stopping: stopping.signal, closing: closing.signal };
        await consumeOn(link, { ...options, flow, ...ends, onConsuming });
      } catch (error) {
        if (stopping.signal.aborted) return;
        if (failures === 0) log.error({ queue, err: error }, 'queue not consumed');
        failures += 1;
        await sleep(backOffMs(BACK_OFF, failures), undefined, { signal: stopping.signal }).catch(() => undefined);
      }
    }
  }

  const consuming = consumeAlways();
  function stop(...ends: AbortController[]): Promise<void> {
    for (const end of ends) end.abort(new Error('the consumer is closed'));
    flow.wake();
    return consuming;
  }
  return {
    pause: flow.pause,
    resume: flow.resume,
    close: () => stop(stopping, closing),
    retire: () => stop(stopping),
  };
}

interface Consuming extends ConsumerOptions {
  flow: Flow;
  /** Aborts when no more deliveries are wanted. */
  stopping: AbortSignal;
  /** Aborts when, what is more, those in hand are to be settled soon. */
  closing: AbortSignal;
  onConsuming: () => void;
}

/** Resolves when the link is lost, or when the consumer was closed and its last verdict has gone out. */
async function consumeOn(link: Link, options: Consuming): Promise<void> {
  const { queue, flow, stopping } = options;
  try {
    const sources = queuesOf(queue);
    await unlessLost(link, Promise.all(sources.map((source) => declareQueue(link, source.queue))));
    // One channel each: its prefetch is this consumer's alone, and its close is a barrier behind this consumer's acks.
    const channel = await unlessLost(link, link.model.createChannel());
    dropWith(channel, link, stopping);
    const deliveries = createDeliveries({ ...options, channel, lost: link.lost });
    const intakes = sources.map((source) =>
      createIntake({
        channel,
        queue: source.queue,
        prefetch: Math.ceil(options.prefetch / source.tasks),
        take: deliveries.take,
        onCancel: () => link.drop(new Error(`queue "${source.queue}" was deleted under its consumer`)),
        onRoom: flow.wake,
      }),
    );
    while (!stopping.aborted) {
      // Asked for before anything is awaited, so that what changes meanwhile is not slept through.
      const woken = flow.woken();
      // One after the other: a prefetch is that of the next consumer on the channel.
      for (const intake of intakes) await answered(link, flow.isPaused() ? intake.shut() : intake.open());
      options.onConsuming();
      await unlessLost(link, woken);
    }
    for (const intake of intakes) await answered(link, intake.shut());
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
