import type { Channel } from 'amqplib';
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

const PRECONDITION_FAILED = 406;

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
    // A dead letter whose handler wants a retry finds its way back like any other message.
    await bindByName(channel, DEAD_LETTER_QUEUE);
  });
}

/** Declares a queue that messages are published to or consumed from, on a channel of its own: a conflict closes it. */
export async function declareQueue(link: Link, queue: string): Promise<void> {
  if (STANDING_QUEUES.some((standing) => standing.queue === queue)) return;
  await withChannel(link, async (channel) => {
    await unlessConflict(queue, channel.assertQueue(queue, { arguments: PREDICTION_QUEUE_ARGUMENTS }));
    await bindByName(channel, queue);
  });
}

/** Runs `use` on a channel of its own, whose failure is that of the call and harms nothing else. */
export async function withChannel<T>(link: Link, use: (channel: Channel) => Promise<T>): Promise<T> {
  const channel = await link.model.createChannel();
  channel.on('error', () => undefined);
  try {
    return await use(channel);
  } finally {
    // Not awaited: amqplib answers it never if the connection ends first.
    channel.close().catch(() => undefined);
  }
}

async function bindByName(channel: Channel, queue: string): Promise<void> {
  await channel.bindQueue(queue, EXCHANGE, queue);
  await channel.bindQueue(queue, RETURN_EXCHANGE, queue);
}

async function unlessConflict(name: string, declared: Promise<unknown>): Promise<void> {
  try {
    await declared;
  } catch (error) {
    const isConflict = error instanceof Error && 'code' in error && error.code === PRECONDITION_FAILED;
    throw isConflict ? new TopologyConflict(name, error) : error;
  }
}
