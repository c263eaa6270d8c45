import { beforeAll, expect, onTestFinished, test, vi } from 'vitest';

import { openBroker } from '../../src/broker/open.ts';
import { DEAD_LETTER_QUEUE, MESSAGE_BYTES_MAX } from '../../src/broker/topology.ts';
import { borrowRabbitmq, type SharedRabbitmq } from '../support/shared-rabbitmq.ts';
import { createTestLog } from '../support/test-log.ts';
import { brokerContract, createInbox, messageOf, PATIENT, settleQueues, unavailable, uniqueQueue } from './broker.ts';
import { brokerComingsContract } from './broker-comings.ts';

let rabbitmq: SharedRabbitmq;
beforeAll(async () => {
  rabbitmq = await borrowRabbitmq();
  await settleQueues(rabbitmq.url, 80);
}, 120_000);

brokerContract('memory', (log) => openBroker('memory:', log));
brokerContract('RabbitMQ', (log) => openBroker(rabbitmq.url, log));
brokerComingsContract('memory', (log, observer) => openBroker('memory:', log, observer));
brokerComingsContract('RabbitMQ', (log, observer) => openBroker(rabbitmq.url, log, observer));

test('memory: what is refused for want of room is taken again once what is there is settled for good', async () => {
  const broker = await openBroker('memory:', createTestLog());
  const queue = uniqueQueue();
  // One buffer: it is the sum that counts, not the memory.
  const message = { ...messageOf(''), body: Buffer.alloc(MESSAGE_BYTES_MAX) };
  for (let i = 0; i < 64; i += 1) await broker.publish(queue, message);
  await expect(broker.publish(queue, message)).rejects.toEqual(unavailable);
  const inbox = createInbox(({ returnsBefore }) => (returnsBefore === 0 ? { returnAfterMs: 1 } : 'dead-letter'));
  await broker.consume({ queue, prefetch: 64 }, inbox.handler);
  for (let i = 0; i < 64; i += 1) await inbox.next();
  await expect(broker.publish(queue, message)).rejects.toEqual(unavailable);
  const dead = createInbox();
  await expect.poll(() => broker.depth(DEAD_LETTER_QUEUE), PATIENT).toBe(64);
  await expect(broker.publish(queue, message)).rejects.toEqual(unavailable);
  await broker.consume({ queue: DEAD_LETTER_QUEUE, prefetch: 64 }, dead.handler);
  for (let i = 0; i < 64; i += 1) await dead.next();
  await expect.poll(() => broker.publish(queue, message).then(() => 'taken', String), PATIENT).toBe('taken');
  await broker.close();
});

test('memory: messages that wait for their return share one listener, since a signal goes through all that it has for each', async () => {
  const broker = await openBroker('memory:', createTestLog());
  const listened = vi.spyOn(EventTarget.prototype, 'addEventListener');
  onTestFinished(() => listened.mockRestore());
  const queue = uniqueQueue();
  const inbox = createInbox(({ returnsBefore }) => (returnsBefore === 0 ? { returnAfterMs: 1 } : 'ack'));
  for (let i = 0; i < 100; i += 1) await broker.publish(queue, messageOf(String(i)));
  await broker.consume({ queue, prefetch: 100 }, inbox.handler);
  for (let i = 0; i < 200; i += 1) await inbox.next();
  expect(listened.mock.calls.length).toBeLessThan(10);
  await broker.close();
});
