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

test.each(['batch', 'batch_size', 'N', 'b', '', 'None', 'unk__12', 'dynamic_axes_1', 'batchSize'])(
  'dimension 0 with the symbol "%s" throughout is the batch',
  (symbol) => {
    expect(isBatched([[symbol, 4]], [[symbol], [symbol, 3]])).toBe(true);
  },
);

test.each(['sequence', 'num_boxes', 'length', 'time', 'channels', 'bones'])(
  'dimension 0 with the symbol "%s" is no batch: its rows may belong together',
  (symbol) => {
    expect(isBatched([[symbol, 4]], [[symbol, 3]])).toBe(false);
  },
);

test('inputs and outputs that lead with different symbols do not share a batch', () => {
  expect(isBatched([['batch', 4]], [['n', 3]])).toBe(false);
  expect(
    isBatched(
      [
        ['batch', 4],
        ['n', 2],
      ],
      [['batch', 3]],
    ),
  ).toBe(false);
});

test('a fixed leading dimension, a scalar and an unknown rank are no batch, whatever the manifest says', () => {
  for (const dimensions of [[1, 4], [], null]) {
    expect(isBatched([dimensions], [['batch', 3]], true)).toBe(false);
    expect(isBatched([['batch', 4]], [dimensions], true)).toBe(false);
  }
});

test('the manifest decides where the symbols do not tell', () => {
  expect(isBatched([['rows', 4]], [['out_rows', 3]], true)).toBe(true);
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
  [[['batch']], [['n']], 'dimension 0 is "batch" in input "in0" and "n" in output "out0"'],
  [[['rows']], [['rows']], 'dimension 0 is called "rows", which names no batch'],
])('inputs %j and outputs %j are not batched, and it is said why', (inputs, outputs, why) => {
  const tensors = (prefix: string, all: OnnxTensor['dimensions'][]) => all.map((dims, i) => float(prefix + i, dims));
  expect(batchObstacle(tensors('in', inputs), tensors('out', outputs))).toContain(why);
});

test('there is an obstacle exactly where no batch is recognised', () => {
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
