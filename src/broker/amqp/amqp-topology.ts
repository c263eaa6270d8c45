import { setTimeout as sleep } from 'node:timers/promises';
import type { Channel } from 'amqplib';
import {
  DEAD_LETTER_QUEUE,
  EXCHANGE,
  PREDICTION_QUEUE_ARGUMENTS,
  RETURN_EXCHANGE,
  STANDING_QUEUES,
} from '../topology.ts';
import { isNotFound, isPreconditionFailed, withChannel } from './amqp-channel.ts';
import type { Link } from './amqp-connection.ts';

/** A queue or exchange is there with other arguments; no attempt of ours can mend that. */
export class TopologyConflict extends Error {
  constructor(name: string, cause: unknown) {
    super(`"${name}" exists with other arguments; drain and delete it, and Foretell declares it again`, { cause });
    this.name = 'TopologyConflict';
  }
}

/**
 * RabbitMQ 3.10 writes down that there is a quorum queue when the next one is made, or a second later. Killed before, it loses
 * the queue with all that it had confirmed of it. So nothing is let into a queue before it is this old.
 */
const SETTLING_MS = 1_500;

/** Declares all that does not depend on a model. */
export async function declareStandingTopology(link: Link): Promise<void> {
  await withChannel(link, async (channel) => {
    await unlessConflict(EXCHANGE, channel.assertExchange(EXCHANGE, 'direct'));
    const alternate = { alternateExchange: DEAD_LETTER_QUEUE };
    await unlessConflict(RETURN_EXCHANGE, channel.assertExchange(RETURN_EXCHANGE, 'direct', alternate));
    for (const { queue, arguments: queueArguments } of STANDING_QUEUES) {
      await unlessConflict(queue, channel.assertExchange(queue, 'fanout'));
      await unlessConflict(queue, channel.assertQueue(queue, { arguments: queueArguments }));
      await channel.bindQueue(queue, queue, '');
    }
  });
}

/**
 * Declares a queue that messages are published to or consumed from. The binding of a queue says that it has settled: who
 * makes one binds it only then. Resolves at once if the queue was there, bound or not.
 */
export async function declareQueue(link: Link, queue: string): Promise<void> {
  if (STANDING_QUEUES.some((standing) => standing.queue === queue)) return;
  const wasThere = await exists(link, queue);
  await assertQueue(link, queue);
  if (wasThere) return;
  await settled(link);
  await bind(link, queue);
}

/** Makes a queue reachable that is not: it was deleted, or its binding, or somebody has made it just now. */
export async function mendQueue(link: Link, queue: string): Promise<void> {
  // First of all it waits: made anew in the 50 ms after it was deleted, a queue gives its messages to the consumers that
  // the old one had, who do not get them. RabbitMQ 3.10 forgets to tell them that they are cancelled.
  await settled(link);
  if (await exists(link, queue)) await bind(link, queue);
  else await declareQueue(link, queue);
}

async function settled(link: Link): Promise<void> {
  await sleep(SETTLING_MS, undefined, { signal: link.lost });
}

function bind(link: Link, queue: string): Promise<void> {
  return withChannel(link, async (channel) => {
    await channel.bindQueue(queue, EXCHANGE, queue);
    await channel.bindQueue(queue, RETURN_EXCHANGE, queue);
  });
}

async function exists(link: Link, queue: string): Promise<boolean> {
  try {
    await withChannel(link, (channel) => channel.checkQueue(queue));
    return true;
  } catch (error) {
    if (isNotFound(error)) return false;
    throw error;
  }
}

/** On a channel of its own: a conflict closes it. */
function assertQueue(link: Link, queue: string): Promise<void> {
  const assert = (channel: Channel) => channel.assertQueue(queue, { arguments: PREDICTION_QUEUE_ARGUMENTS });
  return withChannel(link, (channel) => unlessConflict(queue, assert(channel)));
}

async function unlessConflict(name: string, declared: Promise<unknown>): Promise<void> {
  try {
    await declared;
  } catch (error) {
    throw isPreconditionFailed(error) ? new TopologyConflict(name, error) : error;
  }
}
