import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { decodeMessage, encodeMessage, isReference, type PredictionMessage } from '../../src/broker/message.ts';
import type { Submission } from '../../src/task/task.ts';
import { DATATYPES, type Datatype, elementCount, STORAGE, type Tensor } from '../../src/tensor/tensor.ts';
import { encodeFrame } from '../../src/tensor/tensor-frame.ts';

const submission: Submission = {
  id: '6a2f41a3-c54c-4b0e-9a3b-0d9f6f1d2c11',
  owner: 'anonymous',
  model: { name: 'iris', version: '1', fingerprint: 'f00d' },
  door: 'typed',
  submittedAt: 1_700_000_000_000,
};

const inputs: Tensor[] = [
  { name: 'features', datatype: 'FP32', shape: [1, 2], data: new Uint8Array([0, 0, 128, 63, 0, 0, 0, 64]) },
  { name: 'label', datatype: 'STRING', shape: [1], data: ['ä'] },
];

describe('what is decoded is what was encoded', () => {
  test.for(DATATYPES)('%s, of any shape, scalars and empty ones included', (datatype) => {
    const tensors = fc.array(tensorOf(datatype), { maxLength: 3 });
    fc.assert(
      fc.property(tensors, submissions, (inputs, submission) => {
        const decoded = decodeMessage(encodeMessage({ submission, inputs }));
        expect(normal(decoded)).toEqual(normal({ submission, inputs }));
      }),
      { numRuns: 50 },
    );
  });
});

describe('a body that is no prediction message is refused', () => {
  const header: object = submission;
  test.for([
    ['nothing', Buffer.alloc(0)],
    ['text', Buffer.from('hello, world')],
    ['a length beyond the end', Buffer.from([255, 255, 255, 255, 123, 125])],
    ['a frame without a submission', encodeFrame({}, [])],
    ['an id that is none', encodeFrame({ ...header, id: 'x' }, [])],
    ['an unknown door', encodeFrame({ ...header, door: 'back' }, [])],
    ['a submission without a model', encodeFrame({ ...header, model: undefined }, [])],
    ['bytes cut off', encodeMessage({ submission, inputs }).subarray(0, -1)],
    ['bytes too many', Buffer.concat([encodeMessage({ submission, inputs }), Buffer.from([0])])],
  ] as const)('%s', ([, body]) => {
    expect(() => decodeMessage(body)).toThrow('expected a prediction message');
  });

  test('but one that says more than we know is read', () => {
    const later = { ...submission, deadlineAt: 1, model: { ...submission.model, digest: 'x' } };
    expect(decodeMessage(encodeFrame(later, [])).submission).toEqual(submission);
  });
});

test('what an object carries beyond its type stays out of the message', () => {
  const more = { ...submission, state: 'QUEUED', model: { ...submission.model, path: '/etc' } };
  expect(encodeMessage({ submission: more, inputs })).toEqual(encodeMessage({ submission, inputs }));
});

function tensorOf(datatype: Datatype): fc.Arbitrary<Tensor> {
  return fc.tuple(fc.string(), fc.array(fc.integer({ min: 0, max: 4 }), { maxLength: 3 })).chain(([name, shape]) => {
    const count = elementCount(shape);
    const size = { minLength: count * STORAGE[datatype].bytes, maxLength: count * STORAGE[datatype].bytes };
    const strings = fc.array(fc.string({ unit: 'grapheme' }), { minLength: count, maxLength: count });
    const data: fc.Arbitrary<Tensor['data']> = datatype === 'STRING' ? strings : fc.uint8Array(size);
    return data.map((data) => ({ name, datatype, shape, data }));
  });
}

const text = fc.string({ minLength: 1, unit: 'grapheme' });
const submissions: fc.Arbitrary<Submission> = fc.record({
  id: fc.uuid(),
  owner: fc.string(),
  model: fc.record({ name: text, version: text, fingerprint: text }),
  door: fc.constantFrom('typed' as const, 'tensors' as const),
  submittedAt: fc.nat(),
});

/** A Buffer and a Uint8Array of the same bytes are the same to us. */
function normal({ submission, inputs }: PredictionMessage): PredictionMessage {
  const sameBytes = (data: Tensor['data']) => (Array.isArray(data) ? data : Buffer.from(data));
  if (isReference(inputs)) return { submission, inputs };
  return { submission, inputs: inputs.map((input) => ({ ...input, data: sameBytes(input.data) })) };
}
