import type { Channel } from 'amqplib';
import { abortable } from '../../async/abortable.ts';
import { createFairQueue } from '../../ledger/fair-queue.ts';
import { isNotFound } from './amqp-channel.ts';
import { type Link, unlessLost } from './amqp-connection.ts';

/** Messages that wait in a queue, 0 if there is no such queue; the signal ends the wait. */
export type Depths = (queue: string, signal: AbortSignal) => Promise<number>;

/**
 * So many questions are asked at once: the few that decide on a submission, without a wait for each other. A look at all of hundreds of models would
 * otherwise take all the channels that a connection may have, and those that publish need some.
 */
const LINES = 8;

/** Asks in several lines, each of which the next question takes in its turn. */
export function createDepths(link: Link): Depths {
  const lines = Array.from({ length: LINES }, () => createLine(link));
  let asked = 0;
  return (queue, signal) => {
    asked += 1;
    const line = lines[asked % LINES] as Depths;
    return line(queue, signal);
  };
}

/** Asks one after the other on one channel, which an answer that there is no such queue ends. */
function createLine(link: Link): Depths {
  let channel: Promise<Channel> | undefined;

  async function open(): Promise<Channel> {
    const opened = await link.model.createChannel();
    opened.on('error', () => undefined);
    return opened;
  }

  async function ask(queue: string): Promise<number> {
    channel ??= open();
    try {
      const { messageCount } = await (await channel).checkQueue(queue);
      return messageCount;
    } catch (error) {
      channel = undefined;
      if (isNotFound(error)) return 0;
      throw error;
    }
  }

  /** A question without an answer is left with its channel: those behind it shall not wait for it too. */
  function leave(): void {
    channel?.then((left) => left.close()).catch(() => undefined);
    channel = undefined;
  }

  async function askInTime(queue: string, signal: AbortSignal): Promise<number> {
    signal.throwIfAborted();
    try {
      return await abortable(signal, unlessLost(link, ask(queue)));
    } catch (error) {
      if (signal.aborted) leave();
      throw error;
    }
  }

  const questions = createFairQueue(1);
  return (queue, signal) => questions.run('', () => askInTime(queue, signal));
}
