import { execFile } from 'node:child_process';
import { setImmediate } from 'node:timers/promises';
import { promisify } from 'node:util';
import { afterAll, afterEach, beforeAll, expect, onTestFinished, test } from 'vitest';
import type { Broker, Verdict } from '../../src/broker/broker.ts';
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
import { type Rabbitmq, startRabbitmq } from '../support/rabbitmq.ts';
import { createTestLog } from '../support/test-log.ts';

// RabbitMQ killed, stopped, silenced, or short of memory. Each test leaves it as it was.

let rabbitmq: Rabbitmq;
const opened: Broker[] = [];
beforeAll(async () => {
  rabbitmq = await startRabbitmq();
});
afterEach(async () => {
  await Promise.all(opened.splice(0).map((broker) => broker.close()));
});
afterAll(() => rabbitmq.close());

async function open() {
  const log = createTestLog();
  const broker = await openBroker(rabbitmq.url.replace('//', '//guest:guest@'), log);
  opened.push(broker);
  return { broker, log };
}

test('every confirmed message survives the kill of RabbitMQ and reaches consumers that resume by themselves', async () => {
  const { broker, log } = await open();
  const queue = uniqueQueue();
  const received = new Set<string>();
  const consume = async ({ id }: { id: string }): Promise<Verdict> => {
    received.add(id);
    return 'ack';
  };
  await broker.consume({ queue, prefetch: 50 }, consume);
  await broker.consume({ queue, prefetch: 50 }, consume);
  await publishAtLast(broker, queue, 'the queue is there');
  await rabbitmq.flushQueueNames();
  const confirmed = new Set<string>();
  let refused = 0;
  let goOn = true;
  onTestFinished(() => {
    goOn = false;
  });
  const publishers = Array.from({ length: 8 }, async () => {
    while (goOn) {
      const message = messageOf('x');
      await broker.publish(queue, message).then(
        () => confirmed.add(message.id),
        () => {
          refused += 1;
        },
      );
      await setImmediate();
    }
  });
  await expect.poll(() => confirmed.size, PATIENT).toBeGreaterThan(500);
  await rabbitmq.kill();
  const confirmedBefore = confirmed.size;
  await rabbitmq.start();
  await expect.poll(() => confirmed.size, PATIENT).toBeGreaterThan(confirmedBefore + 500);
  goOn = false;
  await Promise.all(publishers);
  await expect.poll(() => [...confirmed].filter((id) => !received.has(id)).length, PATIENT).toBe(0);
  expect(refused).toBeGreaterThan(0);
  const lost = log.lines('warn').filter(({ message }) => message === 'broker lost');
  expect(lost.map(({ fields }) => fields['connection']).sort()).toEqual(['consuming', 'publishing']);
});

test('a broker opened before RabbitMQ refuses publishes soon, says so once, and serves once RabbitMQ is there', async () => {
  await rabbitmq.stop();
  const { broker, log } = await open();
  const queue = uniqueQueue();
  const inbox = createInbox();
  await broker.consume({ queue, prefetch: 1 }, inbox.handler);
  const startedAt = performance.now();
  await expect(broker.publish(queue, messageOf('too early'))).rejects.toEqual(unavailable);
  await expect(broker.depth(queue)).rejects.toEqual(unavailable);
  expect(performance.now() - startedAt).toBeLessThan(6_000);
  expect(broker.isReady()).toBe(false);
  await rabbitmq.start();
  await becomesReady(broker);
  await publishAtLast(broker, queue, 'in time');
  expect(textOf(await inbox.next())).toBe('in time');
  const told = log.lines().map(({ level, message, fields }) => `${level} ${message} ${fields['connection']}`);
  expect(told.sort()).toEqual([
    'info broker connected consuming',
    'info broker connected publishing',
    'warn broker not reachable yet consuming',
    'warn broker not reachable yet publishing',
  ]);
  expect(JSON.stringify(log.lines().map(({ fields }) => [fields, String(fields['err'])]))).not.toContain('guest');
});

test('a RabbitMQ that falls silent makes publishes fail within six seconds, and all heals when it speaks again', async () => {
  const { broker } = await open();
  const queue = uniqueQueue();
  const inbox = createInbox();
  await broker.consume({ queue, prefetch: 10 }, inbox.handler);
  await publishAtLast(broker, queue, 'before');
  await inbox.next();
  process.kill(rabbitmq.pid, 'SIGSTOP');
  try {
    const startedAt = performance.now();
    // As many as fill every buffer on the way.
    const publishes = Array.from({ length: 200 }, () =>
      broker.publish(queue, { ...messageOf(''), body: Buffer.alloc(100_000) }),
    );
    const results = await Promise.allSettled(publishes);
    expect(performance.now() - startedAt).toBeLessThan(6_000);
    for (const result of results) expect(result).toMatchObject({ status: 'rejected', reason: unavailable });
  } finally {
    process.kill(rabbitmq.pid, 'SIGCONT');
  }
  await publishAtLast(broker, queue, 'after');
  const after = async (): Promise<string> => {
    const text = textOf(await inbox.next());
    return text === 'after' ? text : after();
  };
  expect(await after()).toBe('after');
});

test('a verdict that comes after a reconnect is dropped, and the delivery is given out again', async () => {
  const { broker, log } = await open();
  const queue = uniqueQueue();
  const verdicts: PromiseWithResolvers<Verdict>[] = [];
  const inbox = createInbox(() => {
    const verdict = Promise.withResolvers<Verdict>();
    verdicts.push(verdict);
    return verdict.promise;
  });
  await broker.consume({ queue, prefetch: 1 }, inbox.handler);
  await publishAtLast(broker, queue, '1');
  const first = await inbox.next();
  await rabbitmq.ctl('close_all_connections', 'test');
  const again = await inbox.next();
  expect([first.signal.aborted, again.signal.aborted, again.id]).toEqual([true, false, first.id]);
  verdicts[0]?.resolve('ack');
  verdicts[1]?.resolve('ack');
  await publishAtLast(broker, queue, '2');
  expect(textOf(await inbox.next())).toBe('2');
  verdicts[2]?.resolve('ack');
  expect(log.lines('warn').filter(({ fields }) => fields['connection'] === 'consuming')).toHaveLength(1);
  expect(log.lines('error')).toEqual([]);
});

test('while RabbitMQ is short of memory publishes are refused and consumers go on', async () => {
  const { broker } = await open();
  const queue = uniqueQueue();
  for (const text of ['1', '2', '3']) await publishAtLast(broker, queue, text);
  await rabbitmq.ctl('set_vm_memory_high_watermark', '0.00001');
  try {
    await expect(broker.publish(queue, messageOf('x'))).rejects.toEqual(unavailable);
    expect(broker.isReady()).toBe(false);
    const startedAt = performance.now();
    await expect(broker.publish(queue, messageOf('x'))).rejects.toEqual(unavailable);
    expect(performance.now() - startedAt).toBeLessThan(1_000);
    const inbox = createInbox();
    await broker.consume({ queue, prefetch: 1 }, inbox.handler);
    expect([await inbox.next(), await inbox.next(), await inbox.next()].map(textOf)).toEqual(['1', '2', '3']);
  } finally {
    await rabbitmq.ctl('set_vm_memory_high_watermark', '0.4');
  }
  await becomesReady(broker);
  await publishAtLast(broker, queue, '4');
});

test.for(['refused', 'silent', 'connected', 'lost in silence', 'blocked'] as const)(
  'close ends within seconds and leaves nothing that keeps the process alive: %s',
  async (state) => {
    if (state === 'refused') await rabbitmq.stop();
    if (state === 'silent') process.kill(rabbitmq.pid, 'SIGSTOP');
    if (state === 'blocked') await rabbitmq.ctl('set_vm_memory_high_watermark', '0.00001');
    const script = `
      import { openBroker } from ${JSON.stringify(new URL('../../src/broker/open.ts', import.meta.url).href)};
      const nothing = () => undefined;
      const broker = await openBroker(process.argv[1], { debug: nothing, info: nothing, warn: nothing, error: nothing });
      await broker.consume({ queue: process.argv[2], prefetch: 1 }, () => new Promise(nothing));
      const state = process.argv[3];
      while (['connected', 'lost in silence', 'blocked'].includes(state) && !broker.isReady()) await new Promise((resolve) => setTimeout(resolve, 5));
      if (state === 'lost in silence') process.kill(Number(process.argv[4]), 'SIGSTOP');
      const message = { id: 'x', body: new Uint8Array(3), attemptsBefore: 0 };
      const published = broker.publish(process.argv[2], message).then(() => 'confirmed', () => 'refused');
      if (state === 'blocked') await published;
      const startedAt = performance.now();
      await Promise.all([broker.close(), broker.close()]);
      process.stdout.write(JSON.stringify({ published: await published, closeMs: performance.now() - startedAt }));
    `;
    const args = ['--input-type=module', '-e', script, rabbitmq.url, uniqueQueue(), state, String(rabbitmq.pid)];
    try {
      const { stdout } = await promisify(execFile)(process.execPath, args, { timeout: 20_000 });
      const { published, closeMs } = JSON.parse(stdout);
      expect(published).toBe(state === 'connected' ? 'confirmed' : 'refused');
      expect(closeMs).toBeLessThan(8_000);
    } finally {
      if (state === 'refused') await rabbitmq.start();
      else process.kill(rabbitmq.pid, 'SIGCONT');
      if (state === 'blocked') await rabbitmq.ctl('set_vm_memory_high_watermark', '0.4');
    }
  },
);
