import { describe, expect, test } from 'vitest';
import { outputFault } from '../../src/models/outputs.ts';
import type { ServedModel } from '../../src/models/served-model.ts';
import type { Datatype } from '../../src/tensor/tensor.ts';
import { tensor } from '../support/tensors.ts';

const model: ServedModel = {
  name: 'iris',
  version: '1',
  digest: 'd',
  signature: {
    inputs: [{ name: 'x', datatype: 'FP32', shape: [null, 4] }],
    outputs: [
      { name: 'label', datatype: 'INT64', shape: [null] },
      { name: 'scores', datatype: 'FP32', shape: [null, 2] },
    ],
    batched: true,
  },
  names: { inputs: {}, outputs: { label: { labels: ['a', 'b'] } } },
  maxBatch: 8,
  maxWaiting: 100,
};
const label = tensor('label', 'INT64', [1n]);
const scores = tensor('scores', 'FP32', [0.25, 0.75], [1, 2]);

/** A tensor with any bytes, also those that no reader of inputs would let pass. */
function raw(name: string, datatype: Datatype, array: Float32Array | Float64Array | Float16Array, shape: number[]) {
  return { name, datatype, shape, data: new Uint8Array(array.buffer) };
}

test('outputs that fit have no fault, by either API', () => {
  expect(outputFault(model, 'typed', [label, scores])).toBeUndefined();
  expect(outputFault(model, 'tensors', [scores, label])).toBeUndefined();
});

describe.each(['typed', 'tensors'] as const)('by the %s door', (door) => {
  test('a missing output is named', () => {
    expect(outputFault(model, door, [label])).toBe('output "scores": the model did not return it');
  });

  test('a datatype that was not registered is named', () => {
    const fault = outputFault(model, door, [tensor('label', 'INT32', [1]), scores]);
    expect(fault).toBe('output "label": expected INT64, got INT32');
  });

  test('a shape that was not registered is named', () => {
    const fault = outputFault(model, door, [label, tensor('scores', 'FP32', [1, 2, 3], [1, 3])]);
    expect(fault).toBe('output "scores": expected shape [?, 2], got [1, 3]');
  });

  test('bytes that do not make up the shape are noticed', () => {
    const fault = outputFault(model, door, [label, { ...scores, data: new Uint8Array(4) }]);
    expect(fault).toBe('output "scores": expected 2 elements, got 1');
  });
});

test('a label without a name is a fault of a typed prediction, and no matter to one in tensors', () => {
  for (const index of [2n, -1n]) {
    const outputs = [tensor('label', 'INT64', [index]), scores];
    expect(outputFault(model, 'typed', outputs)).toBe(
      `output "label": expected a label from 0 to 1, got ${index} at index 0`,
    );
    expect(outputFault(model, 'tensors', outputs)).toBeUndefined();
  }
});

test.each([
  ['NaN', Number.NaN],
  ['Infinity', Number.POSITIVE_INFINITY],
  ['-Infinity', Number.NEGATIVE_INFINITY],
])(
  '%s is a fault of a typed prediction, which GraphQL could not say, and no matter to one in tensors',
  (said, number) => {
    for (const [datatype, array] of [
      ['FP16', Float16Array.of(0, number)],
      ['FP32', Float32Array.of(0, number)],
      ['FP64', Float64Array.of(0, number)],
    ] as const) {
      const [labels, registered] = model.signature.outputs;
      if (!labels || !registered) throw new Error('the model has two outputs');
      const other = { ...model, signature: { ...model.signature, outputs: [labels, { ...registered, datatype }] } };
      const outputs = [label, raw('scores', datatype, array, [1, 2])];
      expect(outputFault(other, 'typed', outputs)).toBe(
        `output "scores": expected finite numbers, got ${said} at index 1`,
      );
      expect(outputFault(other, 'tensors', outputs)).toBeUndefined();
    }
  },
);

test('a typed prediction is one row of a batched model', () => {
  const twoRows = [tensor('label', 'INT64', [0n, 1n]), tensor('scores', 'FP32', [0, 1, 2, 3], [2, 2])];
  expect(outputFault(model, 'typed', twoRows)).toBe('output "label": expected one row for one task, got shape [2]');
  expect(outputFault(model, 'tensors', twoRows)).toBeUndefined();
});
