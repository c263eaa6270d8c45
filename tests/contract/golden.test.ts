import type { Message } from 'amqplib';
import { describe, expect, test } from 'vitest';
import { propertiesOf, readMessages } from '../../src/broker/amqp/amqp-properties.ts';
import { bundleOf } from '../../src/broker/amqp/bundles/amqp-bundle.ts';
import { decodeMessage, encodeMessage, type PredictionMessage } from '../../src/broker/message.ts';
import { predictionQueue } from '../../src/broker/topology.ts';
import { hexOf, INPUTS, SUBMISSION, SUBMISSION_JSON, withKey } from './golden-samples.ts';

/**
 * What travels through RabbitMQ from one release to another, byte for byte. Another release has written some of it, and will read the rest:
 * where a test here fails the wire has changed, and needs a new version of the topology (`topology.ts`). What Redis keeps is in
 * golden-redis.test.ts.
 */

const TENSORS_JSON =
  '[{"name":"features","datatype":"FP32","shape":[1,2]},{"name":"label","datatype":"STRING","shape":[1],"strings":["ä"]}]';

describe('the body of a prediction message', () => {
  const whole = `${hexOf(`{"header":${SUBMISSION_JSON},"tensors":${TENSORS_JSON}}`)}0000803f00000040`;
  test.for<[string, PredictionMessage, string]>([
    ['with its inputs', { submission: SUBMISSION, inputs: INPUTS }, whole],
    [
      'whose inputs are in the store',
      { submission: SUBMISSION, inputs: { bytes: 33_554_500 } },
      hexOf(`{"header":${withKey(SUBMISSION_JSON, '"inputs":{"bytes":33554500}')},"tensors":[]}`),
    ],
  ])('%s', ([, message, bytes]) => {
    expect(encodeMessage(message).toString('hex')).toBe(bytes);
    expect(decodeMessage(Buffer.from(bytes, 'hex'))).toEqual(message);
  });

  test('of a later release, which says more at every level', () => {
    const later = withKey(SUBMISSION_JSON.replace('"name"', '"later":1,"name"'), '"later":{"a":[1]}');
    const tensors = TENSORS_JSON.replaceAll('{"name"', '{"later":1,"name"');
    const bytes = `${hexOf(`{"later":1,"header":${later},"tensors":${tensors}}`)}0000803f00000040`;
    expect(decodeMessage(Buffer.from(bytes, 'hex'))).toEqual({ submission: SUBMISSION, inputs: INPUTS });
  });
});

describe('what stands beside the body', () => {
  const queue = predictionQueue('iris', 'normal');
  const traceparent = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';
  const body = Buffer.from('x');
  const received = (properties: object, content = body) =>
    readMessages({ content, properties } as Message, 'elsewhere');

  test('of a first message', () => {
    const properties = {
      persistent: true,
      messageId: SUBMISSION.id,
      headers: { 'x-origin': 'foretell.v1.predict.iris' },
    };
    expect(propertiesOf({ id: SUBMISSION.id, body, attemptsBefore: 0 }, queue)).toEqual(properties);
    const messages = [{ id: SUBMISSION.id, body, attemptsBefore: 0, returnsBefore: 0, traceparent: undefined }];
    expect(received(properties)).toEqual({ messages, origin: queue });
  });

  test('of one that was tried and returned, and is traced; what a later release adds is passed over', () => {
    const said = { id: SUBMISSION.id, body, attemptsBefore: 2, returnsBefore: 3, traceparent };
    const headers = {
      'x-attempts-before': 2,
      'x-returns-before': 3,
      'x-origin': 'foretell.v1.predict.iris',
      traceparent,
    };
    const properties = { persistent: true, messageId: SUBMISSION.id, headers };
    expect(propertiesOf(said, queue)).toEqual(properties);
    const later = { ...properties, type: 'later', headers: { ...headers, 'x-later': { a: 1 } } };
    for (const each of [properties, later]) expect(received(each)).toEqual({ messages: [said], origin: queue });
  });

  test('of a bundle', () => {
    const members = [
      { id: '6a2f41a3-c54c-4b0e-9a3b-0d9f6f1d2c11', body: Buffer.from('one'), attemptsBefore: 0, traceparent },
      { id: '6a2f41a3-c54c-4b0e-9a3b-0d9f6f1d2c12', body: Buffer.from('three'), attemptsBefore: 0 },
    ];
    const bundle = bundleOf(members);
    const bytes = '030000006f6e65050000007468726565';
    expect(Buffer.from(bundle.body).toString('hex')).toBe(bytes);
    const headers = {
      'x-origin': 'foretell.v1.predict.iris',
      'x-members': '6a2f41a3-c54c-4b0e-9a3b-0d9f6f1d2c11 6a2f41a3-c54c-4b0e-9a3b-0d9f6f1d2c12',
      'x-traceparents': `${traceparent} `,
    };
    expect(propertiesOf(bundle, queue)).toEqual({ persistent: true, headers });
    const messages = members.map((member) => ({ returnsBefore: 0, traceparent: undefined, ...member }));
    const later = { headers: { ...headers, 'x-later': 1 } };
    expect(received(later, Buffer.from(bytes, 'hex'))).toEqual({ messages, origin: queue });
  });
});
