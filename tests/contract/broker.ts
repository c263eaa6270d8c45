import { randomUUID } from 'node:crypto';
import { EventEmitter, on } from 'node:events';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type { Broker, BrokerMessage, Delivery, Verdict } from '../../src/broker/broker.ts';
import { openBroker } from '../../src/broker/open.ts';
import { predictionQueue } from '../../src/broker/topology.ts';
import type { Log } from '../../src/process/log.ts';
import { createTestLog, type TestLog } from '../support/test-log.ts';

const settled: string[] = [];

/** Makes queues that tests will ask for: made together, they settle together, instead of a second and a half each. */
export async function settleQueues(brokerUrl: string, count: number): Promise<void> {
  const broker = await openBroker(brokerUrl, createTestLog());
  const queues = Array.from({ length: count }, uniqueQueue);
  // A busy machine makes so many in more than the time that one call may take; those that are there are no work any more.
  await vi.waitFor(() => broker.prepare(queues), PATIENT);
  settled.push(...queues);
  await broker.close();
}

/** A queue that no other test uses. */
export function uniqueQueue(): string {
  return settled.pop() ?? predictionQueue(`model-${randomUUID()}`, 'normal');
}

export function messageOf(text: string, attemptsBefore = 0): BrokerMessage {
  return { id: randomUUID(), body: Buffer.from(text), attemptsBefore };
}

export function textOf({ body }: BrokerMessage): string {
  return Buffer.from(body).toString();
}

/** For conditions that a broker may take seconds to bring about; nothing waits longer than it must. */
export const PATIENT = { timeout: 50_000, interval: 50 };

/** Connected: a publish waits for that only a second. */
export const becomesReady = (broker: Broker) => expect.poll(() => broker.isReady(), PATIENT).toBe(true);

export const unavailable: unknown = expect.objectContaining({ code: 'BROKER_UNAVAILABLE' });

/** Publishes until it is confirmed; what was refused may arrive as well. */
export async function publishAtLast(broker: Broker, queue: string, text: string): Promise<void> {
  await expect
    .poll(() => broker.publish(queue, messageOf(text)).then(() => 'confirmed', String), PATIENT)
    .toBe('confirmed');
}

/** A handler that hands its deliveries to the test, one at a time, and settles each as the test says. */
export function createInbox(verdict: (delivery: Delivery) => Verdict | Promise<Verdict> = () => 'ack') {
  const arrivals = new EventEmitter();
  const deliveries = on(arrivals, 'delivery');
  return {
    handler: async (delivery: Delivery): Promise<Verdict> => {
      arrivals.emit('delivery', delivery);
      return verdict(delivery);
    },
    next: async (): Promise<Delivery> => {
      const { value } = await deliveries.next();
      return value?.[0];
    },
  };
}

/** What every broker keeps to, whatever carries the messages. */
export function brokerContract(name: string, open: (log: Log) => Promise<Broker>): void {
  describe(`${name}: the broker's contract`, () => {
    let broker: Broker;
    let log: TestLog;
    let queue: string;

    beforeEach(async () => {
      log = createTestLog();
      queue = uniqueQueue();
      broker = await open(log);
      await becomesReady(broker);
    });
    afterEach(() => broker.close());

    const publish = async (...texts: string[]) => {
      for (const text of texts) await broker.publish(queue, messageOf(text));
    };
    const depthBecomes = (depth: number) => expect.poll(() => broker.depth(queue), PATIENT).toBe(depth);

    test('a message is delivered as it was published', async () => {
      const inbox = createInbox();
      await broker.consume({ queue, prefetch: 1 }, inbox.handler);
      const message = { ...messageOf(''), body: Buffer.from([0, 255, 1, 254]), attemptsBefore: 2, returnsBefore: 7 };
      await broker.publish(queue, message);
      const { signal, ...said } = await inbox.next();
      expect({ ...said, body: Buffer.from(said.body) }).toEqual({ ...message, redelivered: false });
    });

    test('bodies of no byte and of many arrive whole', async () => {
      const inbox = createInbox();
      await broker.consume({ queue, prefetch: 2 }, inbox.handler);
      const large = Buffer.alloc(3 * 1024 * 1024 + 1, 'x');
      await broker.publish(queue, { ...messageOf(''), body: new Uint8Array() });
      await broker.publish(queue, { ...messageOf(''), body: large });
      expect((await inbox.next()).body.byteLength).toBe(0);
      expect(Buffer.compare((await inbox.next()).body, large)).toBe(0);
    });

    test('messages wait for a consumer and come in the order of their publishing', async () => {
      await publish('1', '2', '3');
      const inbox = createInbox();
      await broker.consume({ queue, prefetch: 1 }, inbox.handler);
      const texts = [await inbox.next(), await inbox.next(), await inbox.next()].map(textOf);
      expect(texts).toEqual(['1', '2', '3']);
    });

    test('a consumer holds as many unsettled deliveries as its prefetch, and no more', async () => {
      const verdicts: PromiseWithResolvers<Verdict>[] = [];
      const inbox = createInbox(() => {
        const verdict = Promise.withResolvers<Verdict>();
        verdicts.push(verdict);
        return verdict.promise;
      });
      await publish('1', '2', '3', '4');
      await broker.consume({ queue, prefetch: 2 }, inbox.handler);
      await inbox.next();
      await inbox.next();
      await depthBecomes(2);
      expect(verdicts).toHaveLength(2);
      verdicts[0]?.resolve('ack');
      expect(textOf(await inbox.next())).toBe('3');
      await depthBecomes(1);
      expect(verdicts).toHaveLength(3);
      for (const verdict of verdicts) verdict.resolve('ack');
    });

    test('consumers of one queue share its messages', async () => {
      const held = () => new Promise<Verdict>(() => undefined);
      const [one, other] = [createInbox(held), createInbox(held)];
      await broker.consume({ queue, prefetch: 1 }, one.handler);
      await broker.consume({ queue, prefetch: 1 }, other.handler);
      await publish('1', '2');
      const texts = [await one.next(), await other.next()].map(textOf);
      expect(texts.sort()).toEqual(['1', '2']);
    });

    test('a retry comes back to its own queue after its delay, with one more attempt counted', async () => {
      const inbox = createInbox(({ attemptsBefore }) => (attemptsBefore === 3 ? { retryAfterMs: 200 } : 'ack'));
      await broker.consume({ queue, prefetch: 1 }, inbox.handler);
      const message = messageOf('again', 3);
      await broker.publish(queue, message);
      const first = await inbox.next();
      const at = performance.now();
      const second = await inbox.next();
      expect(performance.now() - at).toBeGreaterThan(900);
      expect([first.attemptsBefore, second.attemptsBefore]).toEqual([3, 4]);
      expect([second.id, textOf(second)]).toEqual([message.id, 'again']);
    });

    test('a return comes back to its own queue after its delay, and is no attempt', async () => {
      const inbox = createInbox(({ returnsBefore, attemptsBefore }) => {
        if (returnsBefore === 0) return { returnAfterMs: 200 };
        return attemptsBefore === 3 ? { retryAfterMs: 200 } : 'ack';
      });
      await broker.consume({ queue, prefetch: 1 }, inbox.handler);
      await broker.publish(queue, messageOf('elsewhere', 3));
      const deliveries = [await inbox.next(), await inbox.next(), await inbox.next()];
      expect(deliveries.map(({ attemptsBefore, returnsBefore }) => [attemptsBefore, returnsBefore])).toEqual([
        [3, 0],
        [3, 1],
        [4, 1],
      ]);
      expect(deliveries.map(textOf)).toEqual(['elsewhere', 'elsewhere', 'elsewhere']);
    });

    test('a delivery that waits for its retry leaves its place to the next', async () => {
      const inbox = createInbox((delivery) => (textOf(delivery) === 'later' ? { retryAfterMs: 30_000 } : 'ack'));
      await broker.consume({ queue, prefetch: 1 }, inbox.handler);
      await publish('later', 'now');
      expect([await inbox.next(), await inbox.next()].map(textOf)).toEqual(['later', 'now']);
    });

    test('a delivery whose handler throws is given out again, and the fault is logged', async () => {
      let calls = 0;
      const inbox = createInbox(() => {
        calls += 1;
        if (calls === 1) throw new Error('a bug');
        return 'ack';
      });
      await broker.consume({ queue, prefetch: 1 }, inbox.handler);
      const message = messageOf('x');
      await broker.publish(queue, message);
      expect((await inbox.next()).attemptsBefore).toBe(0);
      expect((await inbox.next()).attemptsBefore).toBe(0);
      expect(log.lines('error')).toMatchObject([{ message: 'handler failed', fields: { queue, taskId: message.id } }]);
    });

    test('a consumer that closes settles what it has in hand and leaves the rest to others', async () => {
      const verdict = Promise.withResolvers<Verdict>();
      const inbox = createInbox(() => verdict.promise);
      const consumer = await broker.consume({ queue, prefetch: 1 }, inbox.handler);
      await publish('in hand', 'rest');
      await inbox.next();
      let isClosed = false;
      const closed = consumer.close().then(() => {
        isClosed = true;
      });
      await broker.publish(uniqueQueue(), messageOf('a round trip'));
      expect(isClosed).toBe(false);
      verdict.resolve('ack');
      await closed;
      const heir = createInbox();
      await broker.consume({ queue, prefetch: 5 }, heir.handler);
      expect(textOf(await heir.next())).toBe('rest');
      await depthBecomes(0);
    });

    test('the depth is the number of messages that wait; a queue that nobody made has none', async () => {
      expect(await broker.depth(queue)).toBe(0);
      await publish('1', '2', '3');
      await depthBecomes(3);
      const inbox = createInbox();
      await broker.consume({ queue, prefetch: 10 }, inbox.handler);
      await depthBecomes(0);
    });

    test('closing the broker abandons what is in hand: its signal aborts, and a late verdict is harmless', async () => {
      const verdict = Promise.withResolvers<Verdict>();
      const inbox = createInbox(() => verdict.promise);
      const consumer = await broker.consume({ queue, prefetch: 1 }, inbox.handler);
      await publish('1');
      const { signal } = await inbox.next();
      expect(signal.aborted).toBe(false);
      await broker.close();
      expect(signal.aborted).toBe(true);
      await consumer.close();
      verdict.resolve('ack');
      expect(broker.isReady()).toBe(false);
      await expect(broker.publish(queue, messageOf('x'))).rejects.toEqual(unavailable);
      await expect(broker.consume({ queue, prefetch: 1 }, inbox.handler)).rejects.toEqual(unavailable);
    });
  });
}
