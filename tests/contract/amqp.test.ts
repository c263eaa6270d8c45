import { afterEach, beforeAll, expect, test } from 'vitest';
import type { Broker, BrokerObserver, Verdict } from '../../src/broker/broker.ts';
import { openBroker } from '../../src/broker/open.ts';
import { DEAD_LETTER_QUEUE, delayQueueFor, EXCHANGE } from '../../src/broker/topology.ts';
import { borrowRabbitmq, type SharedRabbitmq } from '../support/shared-rabbitmq.ts';
import { createTestLog } from '../support/test-log.ts';
import {
  becomesReady,
  createInbox,
  messageOf,
  PATIENT,
  publishAtLast,
  textOf,
  unavailable,
  uniqueQueue,
} from './broker.ts';

// What operators may do to the queues while we use them.

let rabbitmq: SharedRabbitmq;
const opened: Broker[] = [];
beforeAll(async () => {
  rabbitmq = await borrowRabbitmq();
});
afterEach(async () => {
  await Promise.all(opened.splice(0).map((broker) => broker.close()));
});

async function open(observer?: BrokerObserver) {
  const log = createTestLog();
  const broker = await openBroker(rabbitmq.url, log, observer);
  opened.push(broker);
  await becomesReady(broker);
  return { broker, log };
}

test('a message that reaches no queue is published again, once the queue is declared anew', async () => {
  const { broker } = await open();
  const queue = uniqueQueue();
  await publishAtLast(broker, queue, '1');
  await rabbitmq.withChannel((channel) => channel.unbindQueue(queue, EXCHANGE, queue));
  await broker.publish(queue, messageOf('2'));
  const inbox = createInbox();
  await broker.consume({ queue, prefetch: 1 }, inbox.handler);
  expect([await inbox.next(), await inbox.next()].map(textOf)).toEqual(['1', '2']);
});

test('a message that RabbitMQ refuses is published again until it is taken', async () => {
  const { broker } = await open();
  const queue = uniqueQueue();
  await publishAtLast(broker, queue, '1');
  const full = `${queue} is full`;
  // A publish that reaches two queues is refused if one of them has no room.
  await rabbitmq.withChannel(async (channel) => {
    await channel.assertQueue(full, { maxLength: 1, arguments: { 'x-overflow': 'reject-publish' } });
    await channel.bindQueue(full, EXCHANGE, queue);
    channel.sendToQueue(full, Buffer.from('takes the room'));
    await expect.poll(async () => (await channel.checkQueue(full)).messageCount, PATIENT).toBe(1);
  });
  let outcome = 'none';
  const published = broker.publish(queue, messageOf('2')).then(
    () => (outcome = 'confirmed'),
    () => (outcome = 'refused'),
  );
  // It has reached the other queue, again and again.
  await expect.poll(() => broker.depth(queue), PATIENT).toBeGreaterThan(2);
  expect(outcome).toBe('none');
  await rabbitmq.withChannel((channel) => channel.deleteQueue(full));
  await published;
  expect(outcome).toBe('confirmed');
});

test('however many queues are looked at together, there is a channel left for those who publish', async () => {
  const { broker } = await open();
  const queue = uniqueQueue();
  await publishAtLast(broker, queue, '1');
  // Two questions each: more than the 2,047 channels that a connection may have.
  const looks = Promise.allSettled(Array.from({ length: 1_100 }, () => broker.depth(queue)));
  // Its queue has to be made, which takes a channel, and on a busy machine longer than a publish waits.
  const other = uniqueQueue();
  const answers: string[] = [];
  const publish = async () => {
    answers.push(
      await broker.publish(other, messageOf('2')).then(
        () => 'confirmed',
        ({ cause }) => String(cause),
      ),
    );
    return answers.at(-1);
  };
  await expect.poll(publish, PATIENT).toBe('confirmed');
  expect(answers.filter((answer) => !/^confirmed$|nothing came within/.test(answer))).toEqual([]);
  await looks;
  expect(await broker.depth(queue)).toBe(1);
});

test('queues that are made by several in the same moment refuse nobody', async () => {
  const { broker } = await open();
  const { broker: other } = await open();
  const queues = Array.from({ length: 20 }, uniqueQueue);
  await Promise.all(
    queues.flatMap((queue) => [
      other.consume({ queue, prefetch: 1 }, async () => 'ack'),
      broker.publish(queue, messageOf('x')),
      other.publish(queue, messageOf('y')),
    ]),
  );
  await expect
    .poll(() => Promise.all(queues.map((queue) => broker.depth(queue))), PATIENT)
    .toEqual(queues.map(() => 0));
});

test('a dead letter goes back to its queue of origin though that was deleted', async () => {
  const { broker } = await open();
  const queue = uniqueQueue();
  const consumer = await broker.consume({ queue, prefetch: 1 }, async () => 'dead-letter');
  const message = messageOf('x');
  await broker.publish(queue, message);
  const dead = createInbox(({ id, signal }) => (id === message.id && !signal.aborted ? deleted.promise : 'ack'));
  const deleted = Promise.withResolvers<Verdict>();
  await broker.consume({ queue: DEAD_LETTER_QUEUE, prefetch: 10 }, dead.handler);
  await expect.poll(async () => (await dead.next()).id, PATIENT).toBe(message.id);
  await consumer.close();
  await rabbitmq.withChannel((channel) => channel.deleteQueue(queue));
  deleted.resolve({ returnAfterMs: 1 });
  await expect.poll(() => broker.depth(queue), PATIENT).toBe(1);
  const inbox = createInbox();
  await broker.consume({ queue, prefetch: 1 }, inbox.handler);
  expect(await inbox.next()).toMatchObject({ id: message.id, returnsBefore: 1 });
});

test('a consumer whose queue was deleted under it makes it anew and goes on', async () => {
  const { broker } = await open();
  const queue = uniqueQueue();
  const inbox = createInbox();
  await broker.consume({ queue, prefetch: 1 }, inbox.handler);
  await publishAtLast(broker, queue, '1');
  await inbox.next();
  await rabbitmq.withChannel((channel) => channel.deleteQueue(queue));
  await publishAtLast(broker, queue, '2');
  expect(textOf(await inbox.next())).toBe('2');
});

test('a retry queue that was deleted is made anew, and the delivery that waits for it is retried', async () => {
  const { broker } = await open();
  const queue = uniqueQueue();
  await publishAtLast(broker, queue, 'x');
  await rabbitmq.withChannel((channel) => channel.deleteQueue(delayQueueFor(0).queue));
  const inbox = createInbox(({ attemptsBefore }) => (attemptsBefore === 0 ? { retryAfterMs: 0 } : 'ack'));
  await broker.consume({ queue, prefetch: 1 }, inbox.handler);
  expect([(await inbox.next()).attemptsBefore, (await inbox.next()).attemptsBefore]).toEqual([0, 1]);
});

test('a queue that exists with other arguments is named in the log, harms no other, and is used once it is gone', async () => {
  const { broker, log } = await open();
  const [queue, other] = [uniqueQueue(), uniqueQueue()];
  await rabbitmq.withChannel((channel) => channel.assertQueue(queue));
  const [inbox, otherInbox] = [createInbox(), createInbox()];
  await broker.consume({ queue, prefetch: 1 }, inbox.handler);
  await broker.consume({ queue: other, prefetch: 1 }, otherInbox.handler);
  await expect(broker.publish(queue, messageOf('x'))).rejects.toEqual(unavailable);
  await broker.publish(other, messageOf('y'));
  expect(textOf(await otherInbox.next())).toBe('y');
  await expect
    .poll(
      () =>
        log
          .lines('error')
          .map(({ message }) => message)
          .sort(),
      PATIENT,
    )
    .toEqual(['queue conflicts', 'queue not consumed']);
  for (const { fields } of log.lines('error')) expect(String(fields['err'])).toContain(queue);
  expect(log.lines('warn')).toEqual([]);
  await rabbitmq.withChannel((channel) => channel.deleteQueue(queue));
  await publishAtLast(broker, queue, 'z');
  expect(textOf(await inbox.next())).toBe('z');
});

test('a dead letter carries the queue that it came from', async () => {
  const { broker } = await open();
  const queue = uniqueQueue();
  await broker.consume({ queue, prefetch: 1 }, async () => 'dead-letter');
  const message = messageOf('x');
  await broker.publish(queue, message);
  await rabbitmq.withChannel(async (channel) => {
    const found = async () => {
      const dead = await channel.get(DEAD_LETTER_QUEUE, { noAck: true });
      return dead && dead.properties.messageId === message.id ? dead : undefined;
    };
    let dead: Awaited<ReturnType<typeof found>>;
    await expect.poll(async () => (dead = await found()), PATIENT).toBeDefined();
    expect(dead?.fields.routingKey).toBe(queue);
    expect(dead?.properties.headers?.['x-origin']).toBe(queue);
  });
});

test('retries of a queue that was deleted become dead letters and stop nobody else', async () => {
  let retried = 0;
  const { broker } = await open({
    onVerdict: (_, kind) => {
      if (kind === 'retry') retried += 1;
    },
  });
  const [deleted, queue] = [uniqueQueue(), uniqueQueue()];
  const doomed = createInbox(() => ({ retryAfterMs: 5_000 }));
  const consumer = await broker.consume({ queue: deleted, prefetch: 100 }, doomed.handler);
  // RabbitMQ takes 32 at a time from the retry queue.
  const ids = new Set<string>();
  for (let i = 0; i < 40; i += 1) {
    const message = messageOf('doomed');
    ids.add(message.id);
    await broker.publish(deleted, message);
    await doomed.next();
  }
  // One whose retry is not on its way would be given back by the close, and deleted with its queue.
  await expect.poll(() => retried, PATIENT).toBe(40);
  await consumer.close();
  await rabbitmq.withChannel((channel) => channel.deleteQueue(deleted));
  const inbox = createInbox(({ attemptsBefore }) => (attemptsBefore === 0 ? { retryAfterMs: 5_000 } : 'ack'));
  await broker.consume({ queue, prefetch: 1 }, inbox.handler);
  await publishAtLast(broker, queue, 'ours');
  await inbox.next();
  expect((await inbox.next()).attemptsBefore).toBe(1);
  await broker.consume({ queue: DEAD_LETTER_QUEUE, prefetch: 10 }, async ({ id }) => {
    ids.delete(id);
    return 'ack';
  });
  await expect.poll(() => ids.size, PATIENT).toBe(0);
});
