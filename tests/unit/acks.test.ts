import assert from 'node:assert/strict';
import { setImmediate } from 'node:timers/promises';
import type { Channel, ConsumeMessage } from 'amqplib';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { createAcks } from '../../src/broker/amqp/amqp-acks.ts';

/** A channel that settles as RabbitMQ does, and refuses what it has not given out, or was settled before. */
class Settling {
  readonly open: Set<number>;
  readonly acked: number[] = [];
  readonly nacked: number[] = [];
  frames = 0;

  constructor(count: number) {
    this.open = new Set(Array.from({ length: count }, (_, i) => i + 1));
  }

  ack({ fields }: ConsumeMessage, upTo = false): void {
    this.frames += 1;
    const tags = upTo ? [...this.open].filter((tag) => tag <= fields.deliveryTag) : [fields.deliveryTag];
    assert(tags.length > 0);
    for (const tag of tags) this.#settle(tag, this.acked);
  }

  nack({ fields }: ConsumeMessage): void {
    this.#settle(fields.deliveryTag, this.nacked);
  }

  #settle(tag: number, as: number[]): void {
    assert(this.open.delete(tag), `unknown delivery tag ${tag}`);
    as.push(tag);
  }
}

const delivery = (deliveryTag: number) => ({ fields: { deliveryTag } }) as ConsumeMessage;
const late = (error: unknown) => assert.fail(String(error));

test('each delivery is settled once, as it was asked for, in whatever order and turns', async () => {
  const order = fc.integer({ min: 1, max: 40 }).chain((count) =>
    fc.tuple(
      fc.shuffledSubarray(
        Array.from({ length: count }, (_, i) => i + 1),
        { minLength: 0 },
      ),
      fc.array(fc.constantFrom('ack', 'nack', 'turn'), { minLength: count, maxLength: count }),
      fc.constant(count),
    ),
  );
  await fc.assert(
    fc.asyncProperty(order, async ([tags, ways, count]) => {
      const channel = new Settling(count);
      const acks = createAcks(channel as unknown as Channel, late);
      const wanted = { acked: [] as number[], nacked: [] as number[] };
      for (const [i, tag] of tags.entries()) {
        if (ways[i] === 'turn') await setImmediate();
        if (ways[i] === 'nack') acks.nack(delivery(tag), true);
        else acks.ack(delivery(tag));
        wanted[ways[i] === 'nack' ? 'nacked' : 'acked'].push(tag);
      }
      acks.flush();
      const sorted = (list: number[]) => list.toSorted((a, b) => a - b);
      expect(sorted(channel.acked)).toEqual(sorted(wanted.acked));
      expect(sorted(channel.nacked)).toEqual(sorted(wanted.nacked));
    }),
  );
});

test('what was delivered together and is acked together takes one frame', async () => {
  const channel = new Settling(100);
  const acks = createAcks(channel as unknown as Channel, late);
  for (const tag of [...channel.open].reverse()) acks.ack(delivery(tag));
  await setImmediate();
  expect([channel.open.size, channel.frames]).toEqual([0, 1]);
});
