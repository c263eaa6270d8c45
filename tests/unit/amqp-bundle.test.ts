import type { Message } from 'amqplib';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { propertiesOf, readMessages } from '../../src/broker/amqp/amqp-properties.ts';
import { bodiesIn, bundleOf } from '../../src/broker/amqp/bundles/amqp-bundle.ts';
import { predictionQueue } from '../../src/broker/topology.ts';

const QUEUE = predictionQueue('iris', 'normal');
const said = fc.record(
  { id: fc.uuid(), body: fc.uint8Array(), traceparent: fc.constant('00-1-2-01') },
  { requiredKeys: ['id', 'body'] },
);

test('a bundle says what each of its messages said', () => {
  fc.assert(
    fc.property(fc.array(said, { minLength: 1, maxLength: 9 }), (messages) => {
      const bundle = bundleOf(messages.map((message) => ({ ...message, attemptsBefore: 0 })));
      const received = { content: Buffer.from(bundle.body), properties: propertiesOf(bundle, QUEUE) };
      expect(readMessages(received as unknown as Message, 'elsewhere')).toEqual({
        messages: messages.map(({ body, ...message }) => ({
          ...{ ...message, body: Buffer.from(body), attemptsBefore: 0, returnsBefore: 0 },
        })),
        origin: QUEUE,
      });
    }),
  );
});

test('bytes that are no bundle of so many are that many empty bodies', () => {
  fc.assert(
    fc.property(fc.uint8Array(), fc.integer({ min: 1, max: 9 }), (bytes, count) => {
      const bodies = bodiesIn(Buffer.from(bytes), count);
      expect(bodies).toHaveLength(count);
      const read = bodies.reduce((sum, body) => sum + body.length, 0);
      expect([0, bytes.length - 4 * count]).toContain(read);
    }),
  );
});
