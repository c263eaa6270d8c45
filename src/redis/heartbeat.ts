import type { Redis } from 'ioredis';
import { within } from '../async/within.ts';

/** How long the answer to a PING may take, where no large values are before it. */
export const ANSWER_MS = 3_000;

export interface Heartbeat {
  /** Whether something went unanswered since the last answer. */
  isDoubtful(): boolean;
  /** A command went unanswered: look at once. */
  suspect(): void;
  stop(): void;
}

/**
 * Drops a connection whose peer has vanished without a goodbye, so that it is made anew. Nothing else notices: an idle
 * socket says nothing, and a subscriber would wait for messages for ever (ioredis#1451).
 */
export function startHeartbeat(
  redis: Redis,
  options: { everyMs: number; answerMs: number; onSilence: (error: Error) => void },
): Heartbeat {
  const { everyMs, answerMs, onSilence } = options;
  let asking = false;
  let doubtful = false;
  /** Counts connections: an answer that is missing on one says nothing about the next. */
  let generation = 0;
  redis.on('close', () => {
    generation += 1;
  });
  redis.on('ready', () => {
    doubtful = false;
  });

  async function beat(): Promise<void> {
    if (asking || redis.status !== 'ready') return;
    const asked = generation;
    asking = true;
    const answered = await isAnswered(redis, answerMs);
    asking = false;
    if (asked !== generation) return;
    doubtful = !answered;
    if (answered) return;
    onSilence(new Error(`no answer to a PING within ${answerMs} ms`));
    redis.disconnect(true);
  }
  const timer = setInterval(() => void beat(), everyMs).unref();

  return {
    isDoubtful: () => doubtful,
    suspect() {
      doubtful = true;
      void beat();
    },
    stop() {
      generation += 1;
      clearInterval(timer);
    },
  };
}

async function isAnswered(redis: Redis, answerMs: number): Promise<boolean> {
  // An error that Redis itself gave is an answer.
  const pong = redis.ping().then(() => true, isReplyError);
  return (await within(answerMs, pong)) ?? false;
}

export function isReplyError(error: unknown): error is Error {
  return error instanceof Error && error.name === 'ReplyError';
}
