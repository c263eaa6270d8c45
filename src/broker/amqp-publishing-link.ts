import { once } from 'node:events';
import type { ConfirmChannel, Message } from 'amqplib';
import type { Log } from '../log.ts';
import { dropWith, type Link } from './amqp-connection.ts';
import { declareQueue, declareStandingTopology, TopologyConflict, withChannel } from './amqp-topology.ts';
import type { BrokerMessage } from './broker.ts';

/** Attempts made before: our own count, because RabbitMQ's differs from version to version. */
export const ATTEMPTS_HEADER = 'x-attempts-before';

/** How often it was returned without an attempt. */
export const RETURNS_HEADER = 'x-returns-before';

/** The queue that the message was first published to; a dead letter keeps it, whatever way it takes afterwards. */
export const ORIGIN_HEADER = 'x-origin';

/** A queue whose declaration was refused is not declared again for so long. */
const DECLARATION_PAUSE_MS = 5_000;

const NOT_FOUND = 404;

/** Where a message goes, and the queue of origin that it is to carry. */
export interface Route {
  exchange: string;
  routingKey: string;
  origin: string;
}

/** No queue is bound for it any more. RabbitMQ calls that a success. */
export class Unroutable extends Error {
  constructor(routingKey: string) {
    super(`no queue is bound for "${routingKey}"`);
    this.name = 'Unroutable';
  }
}

/** A link with a confirm channel: what is published on it is confirmed, refused, or lost with it. */
export interface PublishingLink {
  isBlocked(): boolean;
  drop(reason: Error): void;
  /** Declares a queue once; whoever publishes to it meanwhile waits for the same declaration. */
  declare(queue: string): Promise<void>;
  /** Declares it anew the next time. */
  forget(queue: string): void;
  /** Waits until the channel has room for more. */
  room(): Promise<void>;
  /** Resolves on the confirm; rejects when it is refused, unroutable, or the link is gone. */
  publish(route: Route, message: BrokerMessage): Promise<void>;
  /** Messages that wait in a queue; 0 if there is no such queue. */
  depth(queue: string): Promise<number>;
}

export async function buildPublishingLink(link: Link, log: Log): Promise<PublishingLink> {
  await declareStandingTopology(link);
  const channel = await link.model.createConfirmChannel();
  dropWith(channel, link);
  let full: Promise<unknown> | undefined;
  return {
    isBlocked: link.isBlocked,
    drop: link.drop,
    ...createDeclarations(link, log),
    room: async () => {
      while (full) await full;
    },
    publish: createConfirmedPublish(channel, () => {
      full ??= once(channel, 'drain', { signal: link.lost })
        .catch(() => undefined)
        .finally(() => {
          full = undefined;
        });
    }),
    depth: (queue) => depthOf(link, queue),
  };
}

function createDeclarations(link: Link, log: Log): Pick<PublishingLink, 'declare' | 'forget'> {
  const declarations = new Map<string, { done: Promise<void>; repeatAt: number }>();
  return {
    declare: (queue) => {
      const known = declarations.get(queue);
      if (known && performance.now() < known.repeatAt) return known.done;
      const declaration = { done: declareQueue(link, queue), repeatAt: Number.POSITIVE_INFINITY };
      declarations.set(queue, declaration);
      declaration.done.catch((error) => {
        declaration.repeatAt = performance.now() + DECLARATION_PAUSE_MS;
        if (error instanceof TopologyConflict) log.error({ queue, err: error }, 'queue conflicts');
      });
      return declaration.done;
    },
    forget: (queue) => {
      declarations.delete(queue);
    },
  };
}

function createConfirmedPublish(channel: ConfirmChannel, onFull: () => void): PublishingLink['publish'] {
  // By a number of our own: the same task may be on its way twice. A return comes before the confirm of its message.
  const unconfirmed = new Map<string, (error: Error) => void>();
  let published = 0;
  channel.on('return', ({ properties, fields }: Message) => {
    unconfirmed.get(properties.correlationId)?.(new Unroutable(fields.routingKey));
  });
  return ({ exchange, routingKey, origin }, { id, body, attemptsBefore, returnsBefore = 0 }) =>
    new Promise((resolve, reject) => {
      published += 1;
      const correlationId = String(published);
      const headers = {
        [ATTEMPTS_HEADER]: attemptsBefore,
        [RETURNS_HEADER]: returnsBefore,
        [ORIGIN_HEADER]: origin,
      };
      const options = { persistent: true, mandatory: true, messageId: id, correlationId, headers };
      const content = Buffer.from(body.buffer, body.byteOffset, body.byteLength);
      const hasRoom = channel.publish(exchange, routingKey, content, options, (error: unknown) => {
        unconfirmed.delete(correlationId);
        if (error === null) resolve();
        else reject(error);
      });
      unconfirmed.set(correlationId, reject);
      if (!hasRoom) onFull();
    });
}

async function depthOf(link: Link, queue: string): Promise<number> {
  try {
    const { messageCount } = await withChannel(link, (channel) => channel.checkQueue(queue));
    return messageCount;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === NOT_FOUND) return 0;
    throw error;
  }
}
