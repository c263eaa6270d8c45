import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Broker, BrokerObserver, Delivery, Verdict, VerdictKind } from '../../src/broker/broker.ts';
import { DEAD_LETTER_QUEUE } from '../../src/broker/topology.ts';
import type { Log } from '../../src/process/log.ts';
import { createTestLog } from '../support/test-log.ts';
import { becomesReady, createInbox, messageOf, PATIENT, textOf, uniqueQueue } from './broker.ts';

/** How a message comes again, and how a consumer takes none for a while. */
export function brokerComingsContract(
  name: string,
  open: (log: Log, observer: BrokerObserver) => Promise<Broker>,
): void {
  describe(`${name}: what comes again`, () => {
    let broker: Broker;
    let queue: string;
    let verdictsSeen: string[];

    beforeEach(async () => {
      queue = uniqueQueue();
      verdictsSeen = [];
      const onVerdict = (of: string, kind: VerdictKind) => verdictsSeen.push(`${of === queue ? 'ours' : of} ${kind}`);
      broker = await open(createTestLog(), { onVerdict });
      await becomesReady(broker);
    });
    afterEach(() => broker.close());

    test('what is requeued is given out again at once, and says so, and nothing else does', async () => {
      const verdicts: Verdict[] = ['requeue', { retryAfterMs: 1 }, 'ack'];
      const inbox = createInbox(() => verdicts.shift() ?? 'ack');
      await broker.consume({ queue, prefetch: 1 }, inbox.handler);
      await broker.publish(queue, messageOf('again', 3));
      const deliveries = [await inbox.next(), await inbox.next(), await inbox.next()];
      expect(deliveries.map(({ redelivered }) => redelivered)).toEqual([false, true, false]);
      expect(deliveries.map(({ attemptsBefore }) => attemptsBefore)).toEqual([3, 3, 4]);
    });

    test('what a consumer requeues as it closes another is given', async () => {
      const verdict = Promise.withResolvers<Verdict>();
      const [closing, other] = [createInbox(() => verdict.promise), createInbox()];
      const consumer = await broker.consume({ queue, prefetch: 1 }, closing.handler);
      await broker.publish(queue, messageOf('handed over'));
      await closing.next();
      const closed = consumer.close();
      verdict.resolve('requeue');
      await closed;
      await broker.consume({ queue, prefetch: 1 }, other.handler);
      expect(await other.next()).toMatchObject({ redelivered: true, attemptsBefore: 0, returnsBefore: 0 });
    });

    test('a consumer that retires takes no more, and its last delivery comes back to another, counted', async () => {
      const verdict = Promise.withResolvers<Verdict>();
      const [retiring, other] = [createInbox(() => verdict.promise), createInbox()];
      const consumer = await broker.consume({ queue, prefetch: 1 }, retiring.handler);
      await broker.publish(queue, messageOf('held', 3));
      await retiring.next();
      let hasRetired = false;
      const retired = consumer.retire().then(() => {
        hasRetired = true;
      });
      await broker.consume({ queue, prefetch: 1 }, other.handler);
      await broker.publish(queue, messageOf('next'));
      expect(textOf(await other.next())).toBe('next');
      expect(hasRetired).toBe(false);
      verdict.resolve({ retryAfterMs: 1, attempts: 6 });
      await retired;
      expect(await other.next()).toMatchObject({ redelivered: false, attemptsBefore: 6 });
    });

    test('a paused consumer keeps what it has, takes nothing, and goes on where it is resumed', async () => {
      const verdict = Promise.withResolvers<Verdict>();
      const inbox = createInbox((delivery) => (textOf(delivery) === 'held' ? verdict.promise : 'ack'));
      const consumer = await broker.consume({ queue, prefetch: 10 }, inbox.handler);
      await broker.publish(queue, messageOf('held'));
      await inbox.next();
      consumer.pause();
      consumer.pause();
      // Taken until the broker has heard of the pause: one of these is the first that waits.
      const waiting = async () => {
        await broker.publish(queue, messageOf('waits'));
        return broker.depth(queue);
      };
      await expect.poll(waiting, PATIENT).toBeGreaterThan(0);
      verdict.resolve('ack');
      consumer.resume();
      await expect.poll(() => broker.depth(queue), PATIENT).toBe(0);
      await consumer.close();
      expect(await broker.depth(queue)).toBe(0);
    });

    test('after a pause a consumer has no more in hand than its prefetch, and as many again', async () => {
      const inHand: PromiseWithResolvers<Verdict>[] = [];
      const consumer = await broker.consume({ queue, prefetch: 10 }, () => {
        const verdict = Promise.withResolvers<Verdict>();
        inHand.push(verdict);
        return verdict.promise;
      });
      let published = 0;
      const publishMore = async () => {
        published += 1;
        await broker.publish(queue, messageOf('x'));
        return broker.depth(queue);
      };
      await publishMore();
      await publishMore();
      consumer.pause();
      await expect.poll(publishMore, PATIENT).toBeGreaterThan(0);
      const fromBefore = inHand.splice(0);
      expect(fromBefore.length).toBeLessThan(10);
      while (published < 30) await publishMore();
      consumer.resume();
      await expect.poll(() => broker.depth(queue), PATIENT).toBe(30 - 10);
      for (const verdict of fromBefore) verdict.resolve('ack');
      await expect.poll(() => inHand.length, PATIENT).toBe(10);
      await expect.poll(() => broker.depth(queue), PATIENT).toBe(30 - 10 - fromBefore.length);
      for (const verdict of inHand) verdict.resolve('ack');
    });

    test('every verdict is counted for its queue', async () => {
      const verdicts: Verdict[] = [{ retryAfterMs: 1 }, { returnAfterMs: 1 }, 'requeue', 'dead-letter', 'ack'];
      const inbox = createInbox(() => verdicts.shift() ?? 'ack');
      await broker.consume({ queue, prefetch: 1 }, inbox.handler);
      await broker.publish(queue, messageOf('x'));
      await broker.publish(queue, messageOf('y'));
      const all = ['ack', 'dead-letter', 'requeue', 'retry', 'return'].map((kind) => `ours ${kind}`);
      await expect.poll(() => [...verdictsSeen].sort(), PATIENT).toEqual(all);
    });

    test('a paused consumer can be closed, and what waits is for others', async () => {
      const consumer = await broker.consume({ queue, prefetch: 1 }, async () => 'ack');
      consumer.pause();
      await consumer.close();
      await broker.publish(queue, messageOf('x'));
      expect(await broker.depth(queue)).toBe(1);
    });

    test.each([
      [{ retryAfterMs: 1 }, { attemptsBefore: 2, returnsBefore: 5 }],
      [{ returnAfterMs: 1 }, { attemptsBefore: 1, returnsBefore: 6 }],
    ])('a dead letter with the verdict %j goes back to the queue that it came from', async (verdict, expected) => {
      const verdicts: Verdict[] = ['dead-letter', 'ack'];
      const inbox = createInbox(() => verdicts.shift() ?? 'ack');
      const message = { ...messageOf('poison', 1), returnsBefore: 5, traceparent: '00-4bf92f-00f067-01' };
      const dead = createInbox(({ id }) => (id === message.id ? verdict : 'ack'));
      await broker.consume({ queue, prefetch: 1 }, inbox.handler);
      await broker.consume({ queue: DEAD_LETTER_QUEUE, prefetch: 1 }, dead.handler);
      await broker.publish(queue, message);
      await inbox.next();
      const ours = async (): Promise<Delivery> => {
        const delivery = await dead.next();
        return delivery.id === message.id ? delivery : ours();
      };
      const { traceparent } = message;
      expect(await ours()).toMatchObject({ attemptsBefore: 1, returnsBefore: 5, redelivered: false, traceparent });
      expect(await inbox.next()).toMatchObject({ id: message.id, ...expected, redelivered: false, traceparent });
    });
  });
}
