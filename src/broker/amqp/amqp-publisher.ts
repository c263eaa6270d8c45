import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { BrokerUnavailable } from '../../errors.ts';
import type { BrokerMessage } from '../broker.ts';
import { EXCHANGE, MESSAGE_BYTES_MAX } from '../topology.ts';
import type { AmqpConnection } from './amqp-connection.ts';
import { NotTaken, type PublishingLink, type Route, Unroutable } from './amqp-publishing-link.ts';
import type { Bundle } from './bundles/amqp-bundle.ts';

/** From the call to the confirm, whatever it waits for in between. A publish that ran out of time may still arrive. */
const PUBLISH_TIMEOUT_MS = 5_000;

/** Before a message that RabbitMQ did not take is published again: doubled each time. */
const NOT_TAKEN_PAUSE_MS = 20;

/** Whoever asks how full a queue is has no use for an answer that comes later. */
const DEPTH_TIMEOUT_MS = 1_000;

/** A link on which a publish timed out, and nothing was heard for this long, is dead; less than the time-out, which also waits for a link. */
const SILENCE_MAX_MS = 3_000;

/** How long a call waits for a connection: a short interruption is none, a long one is said soon. */
const CONNECTION_WAIT_MS = 2_500;

/** Bodies that wait for their confirm, altogether; more are refused rather than kept. */
const PUBLISHING_BYTES_MAX = 256 * 1024 * 1024;

export interface Publisher {
  isReady(): boolean;
  /** Resolves on the confirm; rejects with `BrokerUnavailable` within `PUBLISH_TIMEOUT_MS`. Declares prediction queues. */
  publish(route: Route, message: BrokerMessage | Bundle): Promise<void>;
  /** Makes sure that a prediction queue is there. Rejects with `BrokerUnavailable`. */
  prepare(queue: string): Promise<void>;
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

  async function send(route: Route, message: BrokerMessage | Bundle, signal: AbortSignal): Promise<void> {
    for (let pauseMs = NOT_TAKEN_PAUSE_MS; ; pauseMs *= 2) {
      const link = await linkOf(signal);
      try {
        return await sendOn(link, route, message, signal);
      } catch (error) {
        // Whatever else went wrong, RabbitMQ may have taken it: who asked is told, and knows what may be repeated.
        if (!(error instanceof NotTaken)) throw error;
      }
      await sleep(pauseMs, undefined, { signal });
    }
  }

  async function publish(route: Route, message: BrokerMessage | Bundle): Promise<void> {
    const bytes = message.body.byteLength;
    assert(bytes <= MESSAGE_BYTES_MAX, `a message body has at most ${MESSAGE_BYTES_MAX} bytes, got ${bytes}`);
    if (closing.signal.aborted) throw new BrokerUnavailable('the broker is closed');
    if (publishingBytes + bytes > PUBLISHING_BYTES_MAX) {
      throw new BrokerUnavailable(`more than ${PUBLISHING_BYTES_MAX} bytes wait to be confirmed`);
    }
    publishingBytes += bytes;
    const confirmed = withinTime('confirm the message', PUBLISH_TIMEOUT_MS, async (signal) => {
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
    prepare: (queue) =>
      withinTime('make a queue', PUBLISH_TIMEOUT_MS, async (signal) => (await linkOf(signal)).prepare(queue)),
    depth: (queue) =>
      withinTime('report the depth of a queue', DEPTH_TIMEOUT_MS, async (signal) =>
        (await linkOf(signal)).depth(queue, signal),
      ),
    close: async () => {
      closing.abort(new Error('the broker is closed'));
      await Promise.allSettled(inHand);
    },
  };
}

async function sendOn(
  link: PublishingLink,
  route: Route,
  message: BrokerMessage | Bundle,
  signal: AbortSignal,
): Promise<void> {
  const { exchange, routingKey } = route;
  const startedAt = performance.now();
  // In the next turn of the event loop, because of a process that stood still itself the answers are yet to be read.
  const onLate = () => setImmediate(dropSilent, link, startedAt);
  signal.addEventListener('abort', onLate);
  // Where it goes by way of a retry queue, its own queue is there: it came from it.
  const declared = exchange === EXCHANGE ? link.declare(routingKey) : undefined;
  try {
    await declared;
    await link.room();
    // Given up meanwhile: what nobody waits for any more is not sent.
    signal.throwIfAborted();
    await link.publish(route, message);
  } catch (error) {
    // Somebody deleted what was declared, or it is not old enough yet: a queue is mended, the rest comes with the next link.
    if (error instanceof Unroutable && declared !== undefined) link.mend(routingKey, declared);
    else if (error instanceof Unroutable) link.drop(error);
    throw error;
  } finally {
    signal.removeEventListener('abort', onLate);
  }
}

/** Gives a link up on which a publish ran out of time, and which has said nothing about any other since: nobody is there. */
function dropSilent(link: PublishingLink, startedAt: number): void {
  const silentMs = performance.now() - Math.max(startedAt, link.heardAt());
  if (silentMs >= SILENCE_MAX_MS && !link.isBlocked()) {
    link.drop(new Error(`RabbitMQ confirmed nothing for ${Math.round(silentMs)} ms`));
  }
}

/** Rejects with `BrokerUnavailable` when time is up, and whatever the failure; the signal then tells the work to stop. */
async function withinTime<T>(what: string, timeoutMs: number, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const deadline = new AbortController();
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => {
    const error = new Error(`nothing came within ${timeoutMs} ms`);
    deadline.abort(error);
    late.reject(error);
  }, timeoutMs);
  try {
    return await Promise.race([work(deadline.signal), late.promise]);
  } catch (error) {
    throw new BrokerUnavailable(`the broker did not ${what}`, error);
  } finally {
    clearTimeout(timer);
  }
}
