import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Datatype } from '../../src/tensor/tensor.ts';
import { rowDifferences, rowScales } from '../../workers/inference/row-difference.ts';
import { tensor } from '../support/tensors.ts';

const kinds = (alone: ReturnType<typeof tensor>, beside: ReturnType<typeof tensor>) =>
  rowDifferences([alone], [beside]).map(({ row, kind }) => [row, kind]);
const y = (elements: number[], width: number, datatype: Datatype = 'FP32') =>
  tensor('y', datatype, elements, [elements.length / width, width]);

describe('a row alone and beside others', () => {
  test.each([
    ['FP32', 1e-4],
    ['FP64', 1e-4],
    ['FP16', 5e-3],
  ] as const)(
    'is the same in %s up to a share of its own largest value, for every row by itself',
    async (datatype, share) => {
      // Not any doubles: most of these are next to nothing, where FP32 and FP16 keep fewer digits than the share has.
      const threeUpTo = (most: number) =>
        fc.array(
          fc.integer({ min: -1_000_000, max: 1_000_000 }).map((millionths) => (millionths / 1_000_000) * most),
          { minLength: 3, maxLength: 3 },
        );
      const row = threeUpTo(100);
      const factors = threeUpTo(1);
      await fc.assert(
        fc.property(fc.tuple(row, factors), fc.tuple(row, factors), (first, second) => {
          // The type rounds as well: half of the share is left for that.
          const moved = (by: number) =>
            [first, second].flatMap(([values, shares]) => {
              const largest = Math.max(...values.map(Math.abs));
              return values.map((value, i) => value + (shares[i] ?? 0) * by * largest);
            });
          const alone = y(moved(0), 3, datatype);
          expect(kinds(alone, y(moved(share * 0.4), 3, datatype))).toEqual([]);
          const off = moved(0);
          const scale = Math.max(...first[0].map(Math.abs));
          fc.pre(scale > 1);
          off[1] = (off[1] ?? 0) + scale * share * 2;
          expect(kinds(alone, y(off, 3, datatype))).toEqual([[0, 'float']]);
        }),
      );
    },
  );

  test('is judged by its own largest finite value, however large another is', () => {
    expect(kinds(y([1e30, 1], 1), y([1e30, 1.01], 1))).toEqual([[1, 'float']]);
    expect(kinds(y([Infinity, 1, 2], 3), y([Infinity, 1.1, 2], 3))).toEqual([[0, 'float']]);
    expect(kinds(y([0, 0], 2), y([0, 1e-9], 2))).toEqual([[0, 'float']]);
    expect(rowScales(y([1, -3, Number.NaN, Infinity, 0, 0.5], 2))).toEqual([3, 0, 0.5]);
  });

  test('is the same where both are NaN or the same infinity, and no other where one is not', () => {
    const odd = [Number.NaN, Infinity, -Infinity, -0];
    expect(kinds(y(odd, 4), y([Number.NaN, Infinity, -Infinity, 0], 4))).toEqual([]);
    for (const [i, other] of [1, -Infinity, Number.NaN].entries()) {
      const changed = odd.with(i, other);
      expect(kinds(y(odd, 4), y(changed, 4))).toEqual([[0, 'float']]);
      expect(kinds(y(changed, 4), y(odd, 4))).toEqual([[0, 'float']]);
    }
  });

  test('is the same to the last bit in everything that is no float', () => {
    for (const datatype of ['INT64', 'UINT8', 'BOOL', 'STRING'] as const) {
      const [a, b] = [tensor('y', datatype, [0, 1, 1, 0], [2, 2]), tensor('y', datatype, [0, 1, 1, 1], [2, 2])];
      expect(kinds(a, a)).toEqual([]);
      expect(kinds(a, b)).toEqual([[1, 'exact']]);
    }
  });

  test('differs in its shape, its datatype, or by not being there', () => {
    const two = tensor('y', 'FP32', [1, 2], [1, 2]);
    expect(kinds(two, tensor('y', 'FP32', [1, 2, 3], [1, 3]))).toEqual([[0, 'shape']]);
    expect(kinds(two, tensor('y', 'INT32', [1, 2], [1, 2]))).toEqual([[0, 'shape']]);
    expect(kinds(two, tensor('z', 'FP32', [1, 2], [1, 2]))).toEqual([[0, 'shape']]);
    expect(kinds(tensor('y', 'FP32', [1], []), tensor('y', 'FP32', [2], []))).toEqual([[0, 'float']]);
    expect(kinds(tensor('y', 'FP32', [], [0, 2]), tensor('y', 'FP32', [], [0, 2]))).toEqual([]);
  });
});

test('no value of anybody is told', () => {
  const texts = rowDifferences([y([123.25], 1)], [y([987.5], 1)]).map(({ text }) => text);
  expect(texts).toEqual([expect.not.stringMatching(/123|987/)]);
  expect(texts[0]).toContain('"y"');
});
