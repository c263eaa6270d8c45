import { randomUUID } from 'node:crypto';
import { afterEach, beforeAll, expect, test } from 'vitest';
import type { Broker, BrokerMessage, BrokerObserver, Delivery, Verdict } from '../../src/broker/broker.ts';
import { openBroker } from '../../src/broker/open.ts';
import {
  BUNDLE_SIZE,
  bundleQueueOf,
  DEAD_LETTER_QUEUE,
  delayQueueFor,
  PREDICTION_QUEUE_ARGUMENTS,
  predictionQueue,
} from '../../src/broker/topology.ts';
import { borrowRabbitmq, type SharedRabbitmq } from '../support/shared-rabbitmq.ts';
import { createTestLog } from '../support/test-log.ts';
import { becomesReady, createInbox, messageOf, PATIENT, settleQueues, textOf, uniqueQueue } from './broker.ts';

// Messages that travel together, each of which keeps all that the broker's contract promises it.

const DELIVERIES_MAX = Number(PREDICTION_QUEUE_ARGUMENTS['x-delivery-limit']);

let rabbitmq: SharedRabbitmq;
const opened: Broker[] = [];
beforeAll(async () => {
  rabbitmq = await borrowRabbitmq();
  await settleQueues(rabbitmq.url, 20);
}, 120_000);
afterEach(async () => {
  await Promise.all(opened.splice(0).map((broker) => broker.close()));
});

async function open(observer?: BrokerObserver): Promise<Broker> {
  const broker = await openBroker(rabbitmq.url, createTestLog(), observer);
  opened.push(broker);
  await becomesReady(broker);
  return broker;
}

const bundled = (text: string): BrokerMessage => ({ ...messageOf(text), maxBatch: 64 });
const publishAll = (broker: Broker, queue: string, messages: readonly BrokerMessage[]) =>
  Promise.all(messages.map((message) => broker.publish(queue, message)));
const waitingIn = (queue = '') =>
  rabbitmq.withChannel(async (channel) => (await channel.checkQueue(queue)).messageCount);

/** One bundle, of messages that say `0` to `3`. */
async function publishBundle(broker: Broker, queue: string): Promise<BrokerMessage[]> {
  const messages = Array.from({ length: BUNDLE_SIZE }, (_, i) => bundled(String(i)));
  await publishAll(broker, queue, messages);
  expect([await waitingIn(queue), await waitingIn(bundleQueueOf(queue))]).toEqual([0, 1]);
  return messages;
}

test('what is published together travels in bundles, the rest by itself, and all of it arrives as it was said', async () => {
  const [broker, queue] = [await open(), uniqueQueue()];
  const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
  const messages = Array.from({ length: 10 }, (_, i) => ({ ...bundled(`${i}`), ...(i % 3 === 0 && { traceparent }) }));
  await publishAll(broker, queue, messages);
  expect([await waitingIn(queue), await waitingIn(bundleQueueOf(queue))]).toEqual([2, 2]);
  expect(await broker.depth(queue)).toBe(10);
  const inbox = createInbox();
  await broker.consume({ queue, prefetch: 10 }, inbox.handler);
  const arrived = new Map<string, Delivery>();
  for (const _ of messages) {
    const delivery = await inbox.next();
    arrived.set(delivery.id, delivery);
  }
  for (const { id, body, traceparent: span } of messages) {
    const { signal, ...said } = arrived.get(id) ?? expect.fail(`${id} did not arrive`);
    expect({ ...said, body: Buffer.from(said.body) }).toEqual({
      ...{ id, body, attemptsBefore: 0, returnsBefore: 0, redelivered: false },
      ...(span && { traceparent: span }),
    });
  }
  await expect.poll(() => broker.depth(queue), PATIENT).toBe(0);
});

test.each<[what: string, of: Partial<BrokerMessage>]>([
  ['of a model whose runs are not shared', { maxBatch: BUNDLE_SIZE - 1 }],
  ['of which nothing is said', { maxBatch: undefined }],
  ['that is attempted again', { attemptsBefore: 1 }],
  ['that was returned', { returnsBefore: 1 }],
  ['that is large', { body: Buffer.alloc(16 * 1024 + 1) }],
])('a message goes by itself %s', async (_, of) => {
  const [broker, queue] = [await open(), uniqueQueue()];
  await publishAll(
    broker,
    queue,
    Array.from({ length: BUNDLE_SIZE }, () => ({ ...bundled('x'), ...of })),
  );
  expect([await waitingIn(queue), await waitingIn(bundleQueueOf(queue))]).toEqual([BUNDLE_SIZE, 0]);
});

test('what is urgent goes message by message', async () => {
  const [broker, queue] = [await open(), predictionQueue(`model-${randomUUID()}`, 'high')];
  expect(bundleQueueOf(queue)).toBeUndefined();
  await publishAll(
    broker,
    queue,
    Array.from({ length: BUNDLE_SIZE }, () => bundled('x')),
  );
  expect(await waitingIn(queue)).toBe(BUNDLE_SIZE);
});

test('each message of a bundle has a verdict of its own', async () => {
  const queue = uniqueQueue();
  const seen: string[] = [];
  const broker = await open({ onVerdict: (of, kind) => of === queue && seen.push(kind) });
  const verdicts: Verdict[] = ['ack', { retryAfterMs: 1 }, { returnAfterMs: 1 }, 'dead-letter'];
  const messages = await publishBundle(broker, queue);
  const inbox = createInbox((delivery) => {
    const isFirst = delivery.attemptsBefore + delivery.returnsBefore === 0;
    return isFirst ? (verdicts[Number(textOf(delivery))] ?? 'ack') : 'ack';
  });
  await broker.consume({ queue, prefetch: 8 }, inbox.handler);
  for (const _ of verdicts) await inbox.next();
  const again = [await inbox.next(), await inbox.next()].sort((a, b) => b.attemptsBefore - a.attemptsBefore);
  expect(again).toMatchObject([
    { id: messages[1]?.id, attemptsBefore: 1, returnsBefore: 0, redelivered: false },
    { id: messages[2]?.id, attemptsBefore: 0, returnsBefore: 1, redelivered: false },
  ]);
  const dead = createInbox();
  await broker.consume({ queue: DEAD_LETTER_QUEUE, prefetch: 1 }, dead.handler);
  const letter = await dead.next();
  expect({ id: letter.id, text: textOf(letter) }).toEqual({ id: messages[3]?.id, text: '3' });
  await expect.poll(() => broker.depth(queue), PATIENT).toBe(0);
  expect(seen.sort()).toEqual(['ack', 'ack', 'ack', 'dead-letter', 'retry', 'return']);
});

test('a dead letter out of a bundle goes back to its queue by itself', async () => {
  const [broker, queue] = [await open(), uniqueQueue()];
  const messages = await publishBundle(broker, queue);
  const inbox = createInbox((delivery) =>
    textOf(delivery) === '0' && delivery.returnsBefore === 0 ? 'dead-letter' : 'ack',
  );
  await broker.consume({ queue, prefetch: 8 }, inbox.handler);
  for (const _ of messages) await inbox.next();
  await broker.consume({ queue: DEAD_LETTER_QUEUE, prefetch: 1 }, async () => ({ returnAfterMs: 1 }));
  expect(await inbox.next()).toMatchObject({ id: messages[0]?.id, returnsBefore: 1 });
});

test('a bundle stays until each of its messages is settled, and comes again whole where one is to be', async () => {
  const [broker, queue] = [await open(), uniqueQueue()];
  await publishBundle(broker, queue);
  const last = Promise.withResolvers<Verdict>();
  const inbox = createInbox((delivery) => (textOf(delivery) === '3' && !delivery.redelivered ? last.promise : 'ack'));
  await broker.consume({ queue, prefetch: 8 }, inbox.handler);
  for (let i = 0; i < BUNDLE_SIZE; i += 1) expect((await inbox.next()).redelivered).toBe(false);
  last.resolve('requeue');
  const again = [];
  for (let i = 0; i < BUNDLE_SIZE; i += 1) again.push(await inbox.next());
  expect(again.map(textOf)).toEqual(['0', '1', '2', '3']);
  expect(again.every(({ redelivered }) => redelivered)).toBe(true);
  await expect.poll(() => broker.depth(queue), PATIENT).toBe(0);
});

test('what a consumer holds when its connection is lost goes to another, all of the bundle', async () => {
  const [broker, queue] = [await open(), uniqueQueue()];
  const [lost, other] = [await open(), await open()];
  await publishBundle(broker, queue);
  const held = createInbox(() => new Promise(() => undefined));
  await lost.consume({ queue, prefetch: 8 }, held.handler);
  const [first] = [await held.next(), await held.next(), await held.next(), await held.next()];
  expect(first?.signal.aborted).toBe(false);
  const inbox = createInbox();
  await lost.close();
  await other.consume({ queue, prefetch: 8 }, inbox.handler);
  const again = [await inbox.next(), await inbox.next(), await inbox.next(), await inbox.next()];
  expect(again.map(textOf)).toEqual(['0', '1', '2', '3']);
  expect(again.every(({ redelivered }) => redelivered)).toBe(true);
  expect(first?.signal.aborted).toBe(true);
});

test('a bundle that RabbitMQ gives up on is four dead letters, each of which goes back by itself', async () => {
  const [broker, queue] = [await open(), uniqueQueue()];
  const messages = await publishBundle(broker, queue);
  let deliveries = 0;
  const inbox = createInbox((delivery) => {
    if (delivery.returnsBefore > 0) return 'ack';
    deliveries += 1;
    return 'requeue';
  });
  await broker.consume({ queue, prefetch: 8 }, inbox.handler);
  await broker.consume({ queue: DEAD_LETTER_QUEUE, prefetch: 8 }, async () => ({ returnAfterMs: 1 }));
  const back = new Set<string>();
  while (back.size < BUNDLE_SIZE) {
    const { id, returnsBefore } = await inbox.next();
    if (returnsBefore > 0) back.add(id);
  }
  expect(back).toEqual(new Set(messages.map(({ id }) => id)));
  expect(deliveries).toBeGreaterThanOrEqual(BUNDLE_SIZE * DELIVERIES_MAX);
});

test('nothing is published of a bundle that comes again: what it asked for is asked for then', async () => {
  const [broker, queue] = [await open(), uniqueQueue()];
  await publishBundle(broker, queue);
  const asked: Verdict[] = [{ retryAfterMs: 1 }, { returnAfterMs: 1 }, 'dead-letter', 'requeue'];
  const inbox = createInbox((delivery) => (delivery.redelivered ? 'ack' : (asked[Number(textOf(delivery))] ?? 'ack')));
  await broker.consume({ queue, prefetch: 8 }, inbox.handler);
  const again: Delivery[] = [];
  for (let i = 0; i < 2 * BUNDLE_SIZE; i += 1) again.push(await inbox.next());
  const told = again.slice(BUNDLE_SIZE).map(({ redelivered, attemptsBefore, returnsBefore }) => {
    return { redelivered, attemptsBefore, returnsBefore };
  });
  expect(told).toEqual(asked.map(() => ({ redelivered: true, attemptsBefore: 0, returnsBefore: 0 })));
  await expect.poll(() => broker.depth(queue), PATIENT).toBe(0);
  expect(await waitingIn(delayQueueFor(1).queue)).toBe(0);
  expect(await waitingIn(DEAD_LETTER_QUEUE)).toBe(0);
});

test('a consumer holds as many tasks in bundles as its prefetch, and those that the last bundle brings', async () => {
  const [broker, queue] = [await open(), uniqueQueue()];
  await publishAll(
    broker,
    queue,
    Array.from({ length: 5 * BUNDLE_SIZE }, (_, i) => bundled(`${i}`)),
  );
  const verdict = Promise.withResolvers<Verdict>();
  let held = 0;
  const hold = async () => {
    held += 1;
    return verdict.promise;
  };
  await broker.consume({ queue, prefetch: 2 * BUNDLE_SIZE + 3 }, hold);
  await expect.poll(() => broker.depth(queue), PATIENT).toBe(2 * BUNDLE_SIZE);
  await expect.poll(() => held, PATIENT).toBe(3 * BUNDLE_SIZE);
  await broker.consume({ queue, prefetch: 1 }, hold);
  await expect.poll(() => broker.depth(queue), PATIENT).toBe(BUNDLE_SIZE);
  await expect.poll(() => held, PATIENT).toBe(4 * BUNDLE_SIZE);
  verdict.resolve('ack');
  await expect.poll(() => broker.depth(queue), PATIENT).toBe(0);
});

test('a bundle that is not whole is a dead letter of each task that it names', async () => {
  const [broker, queue] = [await open(), uniqueQueue()];
  const inbox = createInbox(({ body }) => (body.byteLength === 0 ? 'dead-letter' : 'ack'));
  const dead = createInbox();
  await broker.consume({ queue, prefetch: 4 }, inbox.handler);
  await rabbitmq.withChannel(async (channel) => {
    const headers = { 'x-members': 'a b', 'x-origin': queue };
    channel.sendToQueue(bundleQueueOf(queue) ?? '', Buffer.from([9, 0, 0, 0, 1]), { headers });
    // Answered behind it.
    await channel.checkQueue(queue);
  });
  await broker.consume({ queue: DEAD_LETTER_QUEUE, prefetch: 4 }, dead.handler);
  expect([(await dead.next()).id, (await dead.next()).id].sort()).toEqual(['a', 'b']);
});
