import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { type Datatype, elementCount, type Tensor } from '../../src/tensor/tensor.ts';
import type { Element } from '../../src/tensor/tensor-values.ts';
import { rowsOf, splitOutputs } from '../../workers/batching/batch-tensors.ts';
import { joinInputs } from '../../workers/inference/tensor-rows.ts';
import { contents, tensor } from '../support/tensors.ts';

const spec = fc.record({
  name: fc.constantFrom('x', 'y', 'z'),
  datatype: fc.constantFrom<Datatype[]>('UINT8', 'FP16', 'FP32', 'INT64', 'BOOL', 'STRING'),
  row: fc.array(fc.integer({ min: 0, max: 3 }), { maxLength: 2 }),
});

/** Several tasks of one model: the same tensors, each task with rows of its own. */
const tasks = fc
  .tuple(
    fc.uniqueArray(spec, { minLength: 1, maxLength: 3, selector: ({ name }) => name }),
    fc.array(fc.integer({ min: 0, max: 4 }), { minLength: 1, maxLength: 6 }),
  )
  .chain(([specs, rows]) =>
    fc.tuple(...rows.map((count) => fc.tuple(...specs.map((each) => tensorOf(each, [count, ...each.row]))))),
  );

function tensorOf({ name, datatype }: { name: string; datatype: Datatype }, shape: number[]): fc.Arbitrary<Tensor> {
  const size = { minLength: elementCount(shape), maxLength: elementCount(shape) };
  const element: fc.Arbitrary<Element> =
    datatype === 'STRING' ? fc.string({ maxLength: 3 }) : fc.integer({ min: 0, max: 1 });
  return fc.array(element, size).map((elements) => tensor(name, datatype, elements, shape));
}

test('what is joined along dimension 0 and split again is what each task had', async () => {
  await fc.assert(
    fc.property(tasks, (inputs) => {
      const joined = joinInputs(inputs);
      const rows = inputs.map(rowsOf);
      expect(rowsOf(joined)).toBe(rows.reduce<number>((sum, count = 0) => sum + count, 0));
      expect(splitOutputs(joined, rows).map(contents)).toEqual(inputs.map(contents));
    }),
  );
});

test('the outputs of one task are its own, whatever their dimension 0', () => {
  const outputs = [tensor('boxes', 'FP32', [1, 2, 3], [3, 1]), tensor('count', 'INT64', [3n], [])];
  expect(splitOutputs(outputs, [1])).toEqual([outputs]);
});

test('a model that gives other rows than it got cannot be split', () => {
  for (const shape of [[3], [1], []]) {
    const elements = Array<number>(elementCount(shape)).fill(0);
    expect(() => splitOutputs([tensor('y', 'FP32', elements, shape)], [1, 1])).toThrow(
      `output "y": expected 2 rows for 2, got shape [${shape}]`,
    );
  }
});

test('inputs that differ in dimension 0 have no number of rows', () => {
  expect(rowsOf([tensor('a', 'FP32', [1, 2]), tensor('b', 'FP32', [1, 2], [1, 2])])).toBeUndefined();
  expect(rowsOf([])).toBeUndefined();
});
