import { once } from 'node:events';
import type { ConfirmChannel, Message } from 'amqplib';
import type { Log } from '../../process/log.ts';
import type { BrokerMessage } from '../broker.ts';
import { dropWith } from './amqp-channel.ts';
import type { Link } from './amqp-connection.ts';
import { createDeclarations, type Declarations } from './amqp-declarations.ts';
import { createDepths, type Depths } from './amqp-depth.ts';
import { propertiesOf } from './amqp-properties.ts';
import { declareQueue, declareStandingTopology } from './amqp-topology.ts';
import type { Bundle } from './bundles/amqp-bundle.ts';

/** Where a message goes, and the queue of origin that it is to carry. */
export interface Route {
  exchange: string;
  routingKey: string;
  origin: string;
}

/** RabbitMQ has said that it did not take the message, which may be published again. */
export class NotTaken extends Error {
  constructor(message: string) {
    super(message);
    this.name = new.target.name;
  }
}

/** No queue is bound for it. RabbitMQ calls that a success. */
export class Unroutable extends NotTaken {
  constructor(routingKey: string) {
    super(`no queue is bound for "${routingKey}"`);
  }
}

/** A link with a confirm channel: what is published on it is confirmed, refused, or lost with it. */
export interface PublishingLink extends Declarations {
  isBlocked(): boolean;
  drop(reason: Error): void;
  /** When RabbitMQ last said anything about a message, by `performance.now()`. */
  heardAt(): number;
  /** Makes sure that a queue is there, however it was declared before. */
  prepare(queue: string): Promise<void>;
  /** Waits until the channel has room for more. */
  room(): Promise<void>;
  /** Resolves on the confirm; rejects when it was not taken, or the link is gone. */
  publish(route: Route, message: BrokerMessage | Bundle): Promise<void>;
  depth: Depths;
}

export async function buildPublishingLink(link: Link, log: Log): Promise<PublishingLink> {
  await declareStandingTopology(link);
  const channel = await link.model.createConfirmChannel();
  dropWith(channel, link);
  let heardAt = performance.now();
  for (const event of ['ack', 'nack']) {
    channel.on(event, () => {
      heardAt = performance.now();
    });
  }
  return {
    isBlocked: link.isBlocked,
    drop: link.drop,
    heardAt: () => heardAt,
    ...createDeclarations(link, log),
    prepare: (queue) => declareQueue(link, queue),
    ...createConfirmedPublish(channel, link),
    depth: createDepths(link),
  };
}

function createConfirmedPublish(channel: ConfirmChannel, link: Link): Pick<PublishingLink, 'room' | 'publish'> {
  // By a number of our own: the same task may be on its way twice. A return comes before the confirm of its message.
  const unconfirmed = new Map<string, (error: Error) => void>();
  let published = 0;
  let full: Promise<unknown> | undefined;
  channel.on('return', ({ properties, fields }: Message) => {
    unconfirmed.get(properties.correlationId)?.(new Unroutable(fields.routingKey));
  });

  function send(
    { exchange, routingKey, origin }: Route,
    message: BrokerMessage | Bundle,
    onConfirm: (error: unknown) => void,
  ) {
    published += 1;
    const correlationId = String(published);
    const { buffer, byteOffset, byteLength } = message.body;
    const options = { ...propertiesOf(message, origin), mandatory: true, correlationId };
    const content = Buffer.from(buffer, byteOffset, byteLength);
    const hasRoom = channel.publish(exchange, routingKey, content, options, (error: unknown) => {
      unconfirmed.delete(correlationId);
      onConfirm(error);
    });
    unconfirmed.set(correlationId, onConfirm);
    if (hasRoom) return;
    full ??= once(channel, 'drain', { signal: link.lost })
      .catch(() => undefined)
      .finally(() => {
        full = undefined;
      });
  }

  return {
    room: async () => {
      while (full) await full;
    },
    publish: (route, message) =>
      new Promise((resolve, reject) => {
        send(route, message, (error) => {
          if (error === null) resolve();
          else reject(isNack(error) ? new NotTaken('RabbitMQ refused the message') : error);
        });
      }),
  };
}

/** By its text: amqplib has no other mark that tells it from the end of the channel. */
function isNack(error: unknown): boolean {
  return error instanceof Error && error.message === 'message nacked';
}
