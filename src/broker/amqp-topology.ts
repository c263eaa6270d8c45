import { setTimeout as sleep } from 'node:timers/promises';
import type { Channel } from 'amqplib';
import { isNotFound, isPreconditionFailed, withChannel } from './amqp-channel.ts';
import type { Link } from './amqp-connection.ts';
import {
  DEAD_LETTER_QUEUE,
  EXCHANGE,
  PREDICTION_QUEUE_ARGUMENTS,
  RETURN_EXCHANGE,
  STANDING_QUEUES,
} from './topology.ts';

/** A queue or exchange is there with other arguments; no attempt of ours can mend that. */
export class TopologyConflict extends Error {
  constructor(name: string, cause: unknown) {
    super(`"${name}" exists with other arguments: drain it and delete it, and it is declared anew`, { cause });
    this.name = 'TopologyConflict';
  }
}

/**
 * RabbitMQ 3.10 writes down which quorum queues there are once none was made for half a second. Killed before that it loses
 * a queue with all that it had confirmed for it. So nothing is let into a queue before it is this old.
 */
const SETTLING_MS = 1_000;

/**
 * The prediction queues, by one link. The binding of a queue says that it has settled: who makes one binds it only then, and
 * who finds one that is not bound cannot know how old it is, and waits as long.
 */
export interface Queues {
  /** Resolves when the queue is there, and at once if it was; one that is made here is bound as well. */
  declare(queue: string): Promise<void>;
  /** Binds a queue to which nothing leads; makes it, if it was deleted. */
  mend(queue: string): Promise<void>;
}

/** Declares all that does not depend on a model. */
export async function declareTopology(link: Link): Promise<Queues> {
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
  return createQueues(link);
}

function createQueues(link: Link): Queues {
  let madeAt = Number.NEGATIVE_INFINITY;

  async function settled(): Promise<void> {
    // Again, because each queue that is made meanwhile delays for all what RabbitMQ writes down.
    for (;;) {
      const leftMs = madeAt + SETTLING_MS - performance.now();
      if (leftMs <= 0) return;
      await sleep(leftMs, undefined, { signal: link.lost });
    }
  }

  async function bind(queue: string): Promise<void> {
    await settled();
    await withChannel(link, async (channel) => {
      await channel.bindQueue(queue, EXCHANGE, queue);
      await channel.bindQueue(queue, RETURN_EXCHANGE, queue);
    });
  }

  /** Resolves with whether it was there before. */
  async function make(queue: string): Promise<boolean> {
    const wasThere = await exists(link, queue);
    await assertQueue(link, queue);
    if (!wasThere) madeAt = performance.now();
    return wasThere;
  }

  return {
    declare: async (queue) => {
      if (STANDING_QUEUES.some((standing) => standing.queue === queue)) return;
      if (!(await make(queue))) await bind(queue);
    },
    mend: async (queue) => {
      // First of all it waits: made anew in the 50 ms after it was deleted, a queue gives its messages to the consumers that
      // the old one had, who do not get them. RabbitMQ 3.10 forgets to tell them that they are cancelled.
      madeAt = performance.now();
      await settled();
      await make(queue);
      await bind(queue);
    },
  };
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
