import assert from 'node:assert/strict';
import { BrokerUnavailable } from '../errors.ts';
import type { AmqpConnection } from './amqp-connection.ts';
import { type PublishingLink, type Route, Unroutable } from './amqp-publishing-link.ts';
import type { BrokerMessage } from './broker.ts';
import { EXCHANGE, MESSAGE_BYTES_MAX } from './topology.ts';

/** From the call to the confirm, whatever it waits for in between. A publish that ran out of time may still arrive. */
const PUBLISH_TIMEOUT_MS = 5_000;

/** How long a call waits for a connection: a short interruption is none, a long one is said soon. */
const CONNECTION_WAIT_MS = 1_000;

/** Bodies that wait for their confirm, altogether; more are refused rather than kept. */
const PUBLISHING_BYTES_MAX = 256 * 1024 * 1024;

export interface Publisher {
  isReady(): boolean;
  /** Resolves on the confirm; rejects with `BrokerUnavailable` within `PUBLISH_TIMEOUT_MS`. Declares prediction queues. */
  publish(route: Route, message: BrokerMessage): Promise<void>;
  depth(queue: string): Promise<number>;
  /** Waits for the publishes in hand, which end by themselves; refuses more. */
  close(): Promise<void>;
}

export function createPublisher(connection: AmqpConnection<PublishingLink>): Publisher {
  const inHand = new Set<Promise<void>>();
  const closing = new AbortController();
  let publishingBytes = 0;

  async function linkOf(signal: AbortSignal): Promise<PublishingLink> {
    const link = connection.current() ?? (await connected(signal));
    // Nothing that is sent now would be read, and a declaration would wait as long.
    if (link.isBlocked()) throw new Error('RabbitMQ is short of memory or disk');
    return link;
  }

  async function connected(signal: AbortSignal): Promise<PublishingLink> {
    try {
      return await connection.ready(AbortSignal.any([signal, closing.signal, AbortSignal.timeout(CONNECTION_WAIT_MS)]));
    } catch (cause) {
      throw new Error('not connected to RabbitMQ', { cause });
    }
  }

  async function send(route: Route, message: BrokerMessage, signal: AbortSignal): Promise<void> {
    const link = await linkOf(signal);
    if (route.exchange === EXCHANGE) await link.declare(route.routingKey);
    await link.room();
    // Given up meanwhile: what nobody waits for any more is not sent.
    signal.throwIfAborted();
    try {
      await link.publish(route, message);
    } catch (error) {
      // Somebody deleted what was declared: a queue is declared anew for its next message, the rest with the next link.
      if (error instanceof Unroutable && route.exchange === EXCHANGE) link.forget(route.routingKey);
      else if (error instanceof Unroutable) link.drop(error);
      throw error;
    }
  }

  async function publish(route: Route, message: BrokerMessage): Promise<void> {
    const bytes = message.body.byteLength;
    assert(bytes <= MESSAGE_BYTES_MAX, `a message body has at most ${MESSAGE_BYTES_MAX} bytes, got ${bytes}`);
    if (closing.signal.aborted) throw new BrokerUnavailable('the broker is closed');
    if (publishingBytes + bytes > PUBLISHING_BYTES_MAX) {
      throw new BrokerUnavailable(`more than ${PUBLISHING_BYTES_MAX} bytes wait to be confirmed`);
    }
    publishingBytes += bytes;
    const confirmed = withinTime('the broker did not confirm the message', async (signal) => {
      try {
        await send(route, message, signal);
      } finally {
        // Not before the link has given it up: until then the bytes of a late confirm are still in its buffers.
        publishingBytes -= bytes;
      }
    });
    inHand.add(confirmed);
    await confirmed.finally(() => inHand.delete(confirmed));
  }

  return {
    isReady: () => connection.current()?.isBlocked() === false,
    publish,
    depth: (queue) =>
      withinTime('the broker did not tell the depth of a queue', async (signal) => (await linkOf(signal)).depth(queue)),
    close: async () => {
      closing.abort(new Error('the broker is closed'));
      await Promise.allSettled(inHand);
    },
  };
}

/** Rejects with `BrokerUnavailable` when time is up, and whatever the failure; the signal then tells the work to stop. */
async function withinTime<T>(refusal: string, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const deadline = new AbortController();
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => {
    const error = new Error(`nothing came within ${PUBLISH_TIMEOUT_MS} ms`);
    deadline.abort(error);
    late.reject(error);
  }, PUBLISH_TIMEOUT_MS);
  try {
    return await Promise.race([work(deadline.signal), late.promise]);
  } catch (error) {
    throw new BrokerUnavailable(refusal, error);
  } finally {
    clearTimeout(timer);
  }
}
