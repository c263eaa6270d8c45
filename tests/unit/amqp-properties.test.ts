import type { Message } from 'amqplib';
import { expect, test } from 'vitest';
import { propertiesOf, readMessages } from '../../src/broker/amqp/amqp-properties.ts';
import { predictionQueue } from '../../src/broker/topology.ts';

const QUEUE = predictionQueue('iris', 'normal');
const received = (properties: object) => ({ content: Buffer.from('x'), properties }) as Message;

test('what is written beside a body is what is read', () => {
  const said = { id: 'a', body: Buffer.from('x'), attemptsBefore: 2, returnsBefore: 3, traceparent: '00-1-2-01' };
  expect(readMessages(received(propertiesOf(said, QUEUE)), 'elsewhere')).toEqual({ messages: [said], origin: QUEUE });
});

test.each([-1, 1.5, Number.NaN, '2', null, undefined])(
  'counts that nobody of ours wrote count as none: %s',
  (count) => {
    const headers = { 'x-attempts-before': count, 'x-returns-before': count };
    const [said] = readMessages(received({ messageId: 'a', headers }), QUEUE).messages;
    expect(said).toMatchObject({ attemptsBefore: 0, returnsBefore: 0 });
  },
);
