import { expect, test } from 'vitest';
import type { OnnxTensor } from '../../src/models/signature.ts';
import { boundFault, sizeBoundsOf } from '../../src/models/size-bounds.ts';

const INPUTS: OnnxTensor[] = [
  { name: 'ids', datatype: 'INT64', dimensions: ['batch', 'sequence'] },
  { name: 'mask', datatype: 'INT64', dimensions: ['batch', 'sequence'] },
  { name: 'x', datatype: 'FP32', dimensions: [-1, 4, ''] },
  { name: 'any', datatype: 'FP32', dimensions: null },
];

const ids = (batch: number, sequence: number) => ({
  name: 'ids',
  datatype: 'INT64' as const,
  shape: [batch, sequence],
  data: new Uint8Array(),
});

test('a size is bounded by what the model calls it, in every input, or by its place', () => {
  const { bounds, faults } = sizeBoundsOf({ sequence: 3, 'x[2]': 9, 'ids[0]': 2 }, INPUTS);
  expect(faults).toEqual([]);
  expect(bounds.map(({ input, dimension, max }) => `${input}[${dimension}] ${max}`)).toEqual([
    'ids[1] 3',
    'mask[1] 3',
    'x[2] 9',
    'ids[0] 2',
  ]);
  expect(boundFault(bounds, [ids(2, 3)])).toBeUndefined();
  const expected = 'expected at most 3 in dimension 1 ("sequence") of input "ids", got 4';
  expect(boundFault(bounds, [ids(2, 4)])).toBe(expected);
  expect(boundFault(bounds, [{ name: 'x', datatype: 'FP32', shape: [1, 4, 10], data: new Uint8Array() }])).toBe(
    'expected at most 9 in dimension 2 of input "x", got 10',
  );
});

test('a size that the model does not have, or that never varies, is a fault that names those it has', () => {
  const known = 'expected some of batch, ids[0], sequence, ids[1], mask[0], mask[1], x[0], x[2]';
  for (const key of ['seq', 'x[1]', 'x[3]', 'any[0]', 'ids']) {
    const { bounds, faults } = sizeBoundsOf({ [key]: 3 }, INPUTS);
    expect({ bounds, faults }).toEqual({
      bounds: [],
      faults: [`maxSizes.${key}: no such variable dimension of an input; ${known}`],
    });
  }
});
