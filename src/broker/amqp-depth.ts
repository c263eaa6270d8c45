import type { Channel } from 'amqplib';
import { isNotFound } from './amqp-channel.ts';
import { type Link, unlessLost } from './amqp-connection.ts';

/** Messages that wait in a queue, 0 if there is no such queue. */
export type Depths = (queue: string) => Promise<number>;

/** Channels that are kept open for the next questions. */
const IDLE_MAX = 8;

/** Each question has a channel to itself: the answer that there is no such queue ends it, and no question waits for another. */
export function createDepths(link: Link): Depths {
  const idle: Channel[] = [];

  async function open(): Promise<Channel> {
    const channel = await link.model.createChannel();
    channel.on('error', () => undefined);
    return channel;
  }

  function keep(channel: Channel): void {
    if (idle.length < IDLE_MAX) idle.push(channel);
    else channel.close().catch(() => undefined);
  }

  async function ask(queue: string): Promise<number> {
    const channel = idle.pop() ?? (await open());
    try {
      const { messageCount } = await channel.checkQueue(queue);
      keep(channel);
      return messageCount;
    } catch (error) {
      if (isNotFound(error)) return 0;
      throw error;
    }
  }

  return (queue) => unlessLost(link, ask(queue));
}
