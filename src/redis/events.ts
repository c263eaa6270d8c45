import { RedisPubSub } from 'graphql-redis-subscriptions';
import type { Log } from '../process/log.ts';
import type { RedisConnection } from './connection.ts';

const RETRY_MS = 1_000;

/** What to do with a channel of Redis's pub/sub. Neither function may throw. */
export interface ChannelHandlers {
  /** A message as it came: it is parsed. What it says is believed, since who may publish may write the records, too. */
  onMessage(text: string): void;
  /** Subscribed, for the first time or again: what was published before this moment was missed. */
  onSubscribed(): void;
}

export interface RedisEvents {
  /** Whether what is published now would be heard. */
  isReady(): boolean;
  /** Takes part in a channel for as long as the events are open. */
  listen(channel: string, handlers: ChannelHandlers): void;
  close(): void;
}

/**
 * Subscribes a handful of channels, once per process and connection; who waits for which task is no business of Redis.
 * graphql-redis-subscriptions is used in this one way because it leaks, floats promises and loses messages in the others.
 */
export function openRedisEvents(subscriber: RedisConnection, publisher: RedisConnection, log: Log): RedisEvents {
  const channels = new Map<string, ChannelHandlers>();
  let attempt = 0;
  let isSubscribed = false;
  let retry: NodeJS.Timeout | undefined;
  let closed = false;

  async function subscribeAll(): Promise<void> {
    clearTimeout(retry);
    if (closed || !subscriber.isReady()) return;
    attempt += 1;
    isSubscribed = false;
    const current = attempt;
    const pubsub = createPubSub(subscriber, publisher);
    try {
      await Promise.all([...channels].map(([channel, { onMessage }]) => subscribe(pubsub, channel, onMessage)));
    } catch (err) {
      // A connection that was lost meanwhile brings its own attempt when it is back.
      if (closed || current !== attempt) return;
      log.warn({ err, channels: [...channels.keys()] }, 'redis subscription failed');
      retry = setTimeout(() => void subscribeAll(), RETRY_MS).unref();
      return;
    }
    if (closed || current !== attempt) return;
    isSubscribed = true;
    for (const { onSubscribed } of channels.values()) onSubscribed();
  }
  subscriber.onReady(() => void subscribeAll());

  return {
    isReady: () => isSubscribed && subscriber.isReady(),
    listen(channel, handlers) {
      channels.set(channel, handlers);
      void subscribeAll();
    },
    close() {
      closed = true;
      clearTimeout(retry);
    },
  };
}

/** A fresh one for each attempt: it never forgets a subscription that failed. Given both clients, it opens none itself. */
function createPubSub(subscriber: RedisConnection, publisher: RedisConnection): RedisPubSub {
  subscriber.redis.removeAllListeners('message').removeAllListeners('pmessage');
  return new RedisPubSub({
    publisher: publisher.redis,
    subscriber: subscriber.redis,
    // Without it, it parses JSON itself and hands on whatever fails to parse.
    deserializer: (source) => source.toString(),
  });
}

/** Resolves once Redis has confirmed the subscription. */
async function subscribe(pubsub: RedisPubSub, channel: string, onMessage: (text: string) => void): Promise<void> {
  // Twice, because the library gives the promise of a pending SUBSCRIBE to the second subscriber only: where it
  // rejects and nobody else waits for it, the rejection is unhandled, and Node ends the process.
  await Promise.all([pubsub.subscribe<string>(channel, onMessage), pubsub.subscribe(channel, () => undefined)]);
}
