import { afterAll, afterEach, beforeAll, expect, onTestFinished, test } from 'vitest';
import type { Broker, BrokerObserver, Delivery, Verdict } from '../../src/broker/broker.ts';
import { openBroker } from '../../src/broker/open.ts';
import {
  becomesReady,
  createInbox,
  messageOf,
  PATIENT,
  publishAtLast,
  textOf,
  unavailable,
  uniqueQueue,
} from '../contract/broker.ts';
import { startProxy } from '../support/proxy.ts';
import { type Rabbitmq, startRabbitmq } from '../support/rabbitmq.ts';
import { createTestLog } from '../support/test-log.ts';

// What was on its way, or in hand, when RabbitMQ or the way to it was lost.

/** How often RabbitMQ is killed right after its first confirm. */
const ROUNDS = 1;

let rabbitmq: Rabbitmq;
const opened: Broker[] = [];
beforeAll(async () => {
  rabbitmq = await startRabbitmq();
});
const closeAll = () => Promise.all(opened.splice(0).map((broker) => broker.close()));
afterEach(closeAll);
afterAll(() => rabbitmq.close());

async function open(options: { observer?: BrokerObserver; url?: string } = {}) {
  const broker = await openBroker(options.url ?? rabbitmq.url, createTestLog(), options.observer);
  opened.push(broker);
  await becomesReady(broker);
  return broker;
}

async function openBehindProxy(observer?: BrokerObserver) {
  const proxy = await startProxy(Number(new URL(rabbitmq.url).port));
  onTestFinished(() => proxy.close());
  return { proxy, broker: await open({ url: `amqp://127.0.0.1:${proxy.port}`, ...(observer && { observer }) }) };
}

const never = () => new Promise<Verdict>(() => undefined);

test('what RabbitMQ has confirmed of a queue just made is there after it was killed in that moment', async () => {
  for (let round = 0; round < ROUNDS; round += 1) {
    const [maker, finder] = await Promise.all([open(), open()]);
    const queue = uniqueQueue();
    const confirmed = new Set<string>();
    const publish = async (broker: Broker) => {
      const message = messageOf('x');
      await broker.publish(queue, message);
      confirmed.add(message.id);
    };
    const isMade = () => rabbitmq.withChannel((channel) => channel.checkQueue(queue)).then(Boolean, () => false);
    const publishes = [publish(maker)];
    await expect.poll(isMade, { ...PATIENT, interval: 1 }).toBe(true);
    // It finds the queue there, and cannot know how old it is.
    publishes.push(publish(finder));
    await Promise.any(publishes);
    await rabbitmq.kill();
    await rabbitmq.start();
    await Promise.allSettled(publishes);
    expect(confirmed.size).toBeGreaterThan(0);
    const heir = await open();
    const received = new Set<string>();
    const receive = async ({ id }: Delivery): Promise<Verdict> => {
      received.add(id);
      return 'ack';
    };
    await heir.consume({ queue, prefetch: 10 }, receive);
    await expect.poll(() => [...confirmed].filter((id) => !received.has(id)), PATIENT).toEqual([]);
    await closeAll();
  }
}, 300_000);

test('a delivery says that it was given out before, if its consumer was cut off or RabbitMQ was killed', async () => {
  const { proxy, broker } = await openBehindProxy();
  const queue = uniqueQueue();
  const inbox = createInbox(never);
  await broker.consume({ queue, prefetch: 1 }, inbox.handler);
  await broker.publish(queue, messageOf('x'));
  expect((await inbox.next()).redelivered).toBe(false);
  proxy.reset();
  expect((await inbox.next()).redelivered).toBe(true);
  await rabbitmq.kill();
  await rabbitmq.start();
  expect((await inbox.next()).redelivered).toBe(true);
});

test('what was first delivered when RabbitMQ was killed counts as given out before', async () => {
  const broker = await open();
  const queue = uniqueQueue();
  const inbox = createInbox(never);
  await broker.consume({ queue, prefetch: 1 }, inbox.handler);
  await broker.publish(queue, messageOf('x'));
  expect((await inbox.next()).redelivered).toBe(false);
  await rabbitmq.kill();
  await rabbitmq.start();
  expect((await inbox.next()).redelivered).toBe(true);
});

test('a consumer that was paused stays so on the next connection, until it is resumed', async () => {
  const reconnects: string[] = [];
  const { proxy, broker } = await openBehindProxy({ onReconnect: (connection) => reconnects.push(connection) });
  const queue = uniqueQueue();
  const inbox = createInbox(({ redelivered }) => (redelivered ? 'ack' : never()));
  const consumer = await broker.consume({ queue, prefetch: 5 }, inbox.handler);
  await broker.publish(queue, messageOf('in hand'));
  const inHand = await inbox.next();
  consumer.pause();
  proxy.cut();
  await expect.poll(() => [...reconnects].sort(), PATIENT).toEqual(['consuming', 'publishing']);
  expect(inHand.signal.aborted).toBe(true);
  await publishAtLast(broker, queue, 'meanwhile');
  await expect.poll(() => broker.depth(queue), PATIENT).toBe(2);
  consumer.resume();
  expect(textOf(await inbox.next())).toBe('in hand');
  expect(textOf(await inbox.next())).toBe('meanwhile');
});

test('a connection that answers nothing is given up with the publish that it left unanswered, and another is made', async () => {
  const { proxy, broker } = await openBehindProxy();
  const queue = uniqueQueue();
  await broker.publish(queue, messageOf('1'));
  expect(broker.isReady()).toBe(true);
  proxy.loseAnswers();
  const depth = broker.depth(queue);
  const startedAt = performance.now();
  const published = broker.publish(queue, messageOf('2'));
  await expect(depth).rejects.toEqual(unavailable);
  expect(performance.now() - startedAt).toBeLessThan(4_000);
  await expect(published).rejects.toEqual(unavailable);
  expect(performance.now() - startedAt).toBeLessThan(8_000);
  // Connections made from now on are answered.
  await expect
    .poll(() => broker.publish(queue, messageOf('3')).then(() => 'confirmed', String), PATIENT)
    .toBe('confirmed');
  expect(performance.now() - startedAt).toBeLessThan(12_000);
});

test('a broker that consumes is not ready while it has no connection for that', async () => {
  const { proxy, broker } = await openBehindProxy();
  expect(broker.isReady()).toBe(true);
  proxy.silence();
  await broker.consume({ queue: uniqueQueue(), prefetch: 1 }, never);
  await expect(broker.depth(uniqueQueue())).rejects.toEqual(unavailable);
  expect(broker.isReady()).toBe(false);
  proxy.restore();
  await becomesReady(broker);
});
