import fc from 'fast-check';
import { expect, test } from 'vitest';
import { batchObstacle, type OnnxTensor, signatureOf } from '../../src/models/signature.ts';

const float = (name: string, dimensions: OnnxTensor['dimensions']): OnnxTensor => ({
  name,
  datatype: 'FP32',
  dimensions,
});

function isBatched(
  inputs: OnnxTensor['dimensions'][],
  outputs: OnnxTensor['dimensions'][],
  batched?: boolean,
): boolean {
  const tensors = (prefix: string, all: OnnxTensor['dimensions'][]) =>
    all.map((dimensions, i) => float(`${prefix}${i}`, dimensions));
  return signatureOf(tensors('in', inputs), tensors('out', outputs), batched).batched;
}

test('a symbol, an empty symbol and a negative number all mean a dimension that may vary', () => {
  const { inputs } = signatureOf([float('x', ['batch', '', -1, 4])], [float('y', [3])]);
  expect(inputs).toEqual([{ name: 'x', datatype: 'FP32', shape: [null, null, null, 4] }]);
});

test('an unknown rank stays unknown', () => {
  expect(signatureOf([float('x', null)], []).inputs[0]?.shape).toBeNull();
});

test.each(['batch', '', 'unk__12', 's77', 'DynamicDimension.0', 'Batch Size', 'rows', 'sequence', 'num_boxes'])(
  'dimension 0 may be the batch whatever its name, as "%s": an experiment decides',
  (symbol) => {
    expect(isBatched([[symbol, 4]], [[symbol], [symbol, 3]])).toBe(true);
  },
);

test('inputs and outputs may name the batch differently', () => {
  expect(isBatched([['unk__616', 4]], [['unk__617', 3]])).toBe(true);
});

test('a symbol that stands in another place as well is no batch, unless the manifest says so; dimensions without a name are different ones', () => {
  const graph: OnnxTensor['dimensions'][][] = [
    [
      ['N', 2],
      ['N', 'N'],
    ],
    [['N', 2]],
  ];
  expect(isBatched(graph[0] ?? [], graph[1] ?? [])).toBe(false);
  expect(isBatched(graph[0] ?? [], graph[1] ?? [], true)).toBe(true);
  expect(isBatched([['a', 4]], [['b', 'a']])).toBe(false);
  expect(isBatched([['a', 's']], [['b', 's']])).toBe(true);
  expect(isBatched([['', '', -1]], [[-1, '']])).toBe(true);
});

test('a fixed leading dimension, a scalar and an unknown rank are no batch, whatever the manifest says', () => {
  for (const dimensions of [[1, 4], [], null]) {
    expect(isBatched([dimensions], [['batch', 3]], true)).toBe(false);
    expect(isBatched([['batch', 4]], [dimensions], true)).toBe(false);
  }
});

test('the manifest may say that there is no batch', () => {
  expect(isBatched([['batch', 4]], [['batch', 3]], false)).toBe(false);
});

test('a model without inputs cannot be batched', () => {
  expect(isBatched([], [['batch', 3]], true)).toBe(false);
});

test.each<[OnnxTensor['dimensions'][], OnnxTensor['dimensions'][], string]>([
  [[], [['batch']], 'it has no inputs'],
  [[[]], [['batch']], 'input "in0" is a scalar'],
  [[['batch']], [null], 'the rank of output "out0" is unknown'],
  [[['batch']], [['batch'], [1, 3]], 'dimension 0 of output "out1" is always 1'],
  [[['N', 2]], [['n', 'N']], '"N" is dimension 0 of input "in0" and dimension 1 of output "out0"'],
])('inputs %j and outputs %j are not batched, and it is said why', (inputs, outputs, why) => {
  const tensors = (prefix: string, all: OnnxTensor['dimensions'][]) => all.map((dims, i) => float(prefix + i, dims));
  expect(batchObstacle(tensors('in', inputs), tensors('out', outputs))).toContain(why);
});

test('there is an obstacle exactly where the structure has no batch', () => {
  const dimension = fc.constantFrom<(number | string)[]>('batch', 'n', '', 'rows', -1, 1, 4);
  const dimensions = fc.oneof(fc.constant(null), fc.array(dimension, { maxLength: 2 }));
  const tensors = (prefix: string) =>
    fc.array(dimensions, { maxLength: 2 }).map((all) => all.map((dims, i) => float(`${prefix}${i}`, dims)));
  fc.assert(
    fc.property(tensors('in'), tensors('out'), (inputs, outputs) => {
      expect(batchObstacle(inputs, outputs) === undefined).toBe(signatureOf(inputs, outputs).batched);
    }),
    { numRuns: 2_000 },
  );
});
