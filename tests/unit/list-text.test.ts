import fc from 'fast-check';
import { expect, test } from 'vitest';
import { isFiniteTensor, listText } from '../../src/api/graphql/schema/list-text.ts';
import { DATATYPES, elementCount, STORAGE, type Tensor } from '../../src/tensor/tensor.ts';
import { elementsOf } from '../../src/tensor/tensor-values.ts';

const shapes = fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 1, maxLength: 4 });

/** Bytes of any content, which need not be aligned. */
const tensors = fc
  .record({
    datatype: fc.constantFrom(...DATATYPES),
    shape: shapes,
    seed: fc.infiniteStream(fc.nat(255)),
    text: fc.string(),
  })
  .map(({ datatype, shape, seed, text }): Tensor => {
    const count = elementCount(shape);
    if (datatype === 'STRING')
      return { name: 'x', datatype, shape, data: Array.from({ length: count }, (_, i) => text + i) };
    const bytes = Uint8Array.from({ length: count * STORAGE[datatype].bytes + 1 }, () => seed.next().value ?? 0);
    return { name: 'x', datatype, shape, data: bytes.subarray(1) };
  });

function nested(elements: readonly unknown[], shape: readonly number[]): unknown {
  const [length = 0, ...inner] = shape;
  if (inner.length === 0) return elements;
  const stride = elements.length / length;
  return Array.from({ length }, (_, i) => nested(elements.slice(i * stride, (i + 1) * stride), inner));
}

const textOf = (...args: Parameters<typeof listText>) => [...listText(...args).pieces()].join('');

test('elements become the same JSON as lists in lists would', () => {
  fc.assert(
    fc.property(tensors, (tensor) => {
      fc.pre(isFiniteTensor(tensor));
      const expected = JSON.stringify(nested(elementsOf(tensor), tensor.shape));
      expect(textOf(tensor, tensor.shape)).toBe(expected);
    }),
  );
});

test('lists that are longer than a piece come apart at any place', () => {
  const shape = [3, 7, 2_001];
  const data = Uint8Array.from({ length: 3 * 7 * 2_001 }, (_, i) => i);
  const tensor: Tensor = { name: 'x', datatype: 'UINT8', shape, data };
  expect([...listText(tensor, shape).pieces()].length).toBeGreaterThan(4);
  expect(JSON.parse(textOf(tensor, shape))).toEqual(nested([...data], shape));
});

test('integers become their labels', () => {
  const tensor: Tensor = { name: 'x', datatype: 'UINT8', shape: [4], data: Uint8Array.from([0, 1, 2, 0]) };
  expect(textOf(tensor, [2, 2], ['a"', 'b'])).toBe('[["a\\"","b"],["2","a\\""]]');
});

test('a tensor is finite that has neither NaN nor infinity at any place', () => {
  const of = (floats: number[]): Tensor => {
    const data = new Uint8Array(Float32Array.from(floats).buffer);
    return { name: 'x', datatype: 'FP32', shape: [floats.length], data };
  };
  const many = Array<number>(20_000).fill(1);
  expect(isFiniteTensor(of(many))).toBe(true);
  expect(isFiniteTensor(of([...many, Number.NaN]))).toBe(false);
  expect(isFiniteTensor(of([Infinity, ...many]))).toBe(false);
});
