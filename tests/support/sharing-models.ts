import { floats, int64s, type OnnxNode, onnxModel, value } from './onnx.ts';
import { op, type Rows, rows } from './onnx-rows.ts';

/** Sets `size` to the rows of a run as a FP32 number. */
const SIZE = [op('Shape', 'x', 'shape'), op('Gather', 'shape zero', 'rows'), op('Cast', 'rows', 'size', { to: 1 })];
const ZERO = int64s('zero', [0], []);
const MEAN = op('ReduceMean', 'x', 'mean', { axes: [0], keepdims: 1 });

/** Elements for which `is` holds lose the mean of their column. */
const mixedWhere = (condition: OnnxNode[], initializers: Rows['initializers'] = []): Buffer =>
  rows({ nodes: [MEAN, ...condition, op('Sub', 'x mean', 'mixed'), op('Where', 'is mixed x', 'y')], initializers });

const WEIGHTS = floats(
  'w',
  Array.from({ length: 20 }, (_, i) => ((37 * i) % 17) / 8 - 1),
  [5, 4],
);

/** Models whose rows depend on each other, each in another way; as it is served, each gives one row for one row. */
export const DEPENDENT: Record<string, Buffer> = {
  normalised: rows({ nodes: [MEAN, op('Sub', 'x mean', 'y')] }),
  quantised: rows({
    nodes: [op('DynamicQuantizeLinear', 'x', 'q scale point'), op('DequantizeLinear', 'q scale point', 'y')],
  }),
  cumulated: rows({ nodes: [op('CumSum', 'x zero', 'y')], initializers: [ZERO] }),
  softmax: rows({ nodes: [op('Softmax', 'x', 'y', { axis: 0 })] }),
  loudest: rows({
    nodes: [
      op('ReduceMax', 'x', 'most', { keepdims: 0 }),
      op('Greater', 'most limit', 'isLoud'),
      op('Neg', 'x', 'negative'),
      op('Where', 'isLoud negative x', 'y'),
    ],
    initializers: [floats('limit', [3_000], [])],
  }),
  firstRow: rows({ nodes: [op('Gather', 'x zero', 'first'), op('Add', 'x first', 'y')], initializers: [ZERO] }),
  lastRow: rows({
    nodes: [op('Gather', 'x last', 'end'), op('Max', 'x end', 'y')],
    initializers: [int64s('last', [-1], [])],
  }),
  size: rows({ nodes: [...SIZE, op('Mul', 'x size', 'y')], initializers: [ZERO] }),
  beyondEight: rows({
    nodes: [
      ...SIZE,
      MEAN,
      op('Greater', 'size limit', 'isLarge'),
      op('Add', 'x mean', 'mixed'),
      op('Where', 'isLarge mixed x', 'y'),
    ],
    initializers: [ZERO, floats('limit', [8], [])],
  }),
  beyondForty: mixedWhere([...SIZE, op('Greater', 'size limit', 'is')], [ZERO, floats('limit', [40], [])]),
  ofLargeOnes: mixedWhere([op('Abs', 'x', 'a'), op('Greater', 'a limit', 'is')], [floats('limit', [5_000], [])]),
  ofNegativeOnes: mixedWhere([op('Less', 'x limit', 'is')], [floats('limit', [-100], [])]),
  ofSmallOnes: mixedWhere([op('Abs', 'x', 'a'), op('Less', 'a limit', 'is')], [floats('limit', [1e-3], [])]),
  ofWholeOnes: mixedWhere([op('Floor', 'x', 'whole'), op('Equal', 'whole x', 'is')]),
  infinite: rows({
    nodes: [
      op('IsInf', 'x', 'is'),
      op('Cast', 'is', 'ones', { to: 1 }),
      op('ReduceMax', 'ones', 'any', { keepdims: 0 }),
      op('Add', 'x any', 'y'),
    ],
  }),
  negative: rows({
    nodes: [
      op('ReduceMin', 'x', 'least', { axes: [0], keepdims: 1 }),
      op('Less', 'least limit', 'is'),
      op('Cast', 'is', 'ones', { to: 7 }),
      op('Add', 'x ones', 'y'),
    ],
    initializers: [int64s('limit', [-1], [])],
    datatype: 'INT64',
  }),
  sorted: rows({
    nodes: [op('Shape', 'x', 'shape'), op('Slice', 'shape from to', 'k'), op('TopK', 'x k', 'y i', { axis: 0 })],
    initializers: [int64s('from', [0]), int64s('to', [1])],
  }),
  reversed: rows({
    nodes: [op('Slice', 'x from to axis step', 'y')],
    initializers: [int64s('from', [-1]), int64s('to', [-1e9]), int64s('axis', [0]), int64s('step', [-1])],
    datatype: 'STRING',
    shape: ['batch', 1],
  }),
  attention: rows({
    nodes: [
      op('Transpose', 'x', 't', { perm: [1, 0] }),
      op('MatMul', 'x t', 'scores'),
      op('Softmax', 'scores', 'weights', { axis: 1 }),
      op('MatMul', 'weights x', 'y'),
    ],
  }),
  rank: rows({
    nodes: [
      op('Unsqueeze', 'x one', 'column'),
      op('Greater', 'column x', 'isGreater'),
      op('Cast', 'isGreater', 'ones', { to: 7 }),
      op('ReduceSum', 'ones one', 'y', { keepdims: 0 }),
    ],
    initializers: [int64s('one', [1])],
    shape: ['batch'],
    outputs: [value('y', 'INT64', ['batch'])],
  }),
  duplicates: rows({
    nodes: [
      op('Unsqueeze', 'x one', 'column'),
      op('Equal', 'column x', 'isEqual'),
      op('Cast', 'isEqual', 'ones', { to: 1 }),
      op('ReduceSum', 'ones one', 'y', { keepdims: 0 }),
    ],
    initializers: [int64s('one', [1])],
    shape: ['batch'],
  }),
  neighbourFive: rows({
    nodes: [op('Pad', 'x pads', 'shifted'), op('Add', 'x shifted', 'y')],
    initializers: [int64s('pads', [5, 0, -5, 0])],
  }),
  embedded: rows({
    nodes: [
      op('Gather', 'w x', 'vectors'),
      op('ReduceMean', 'vectors', 'mean', { axes: [0], keepdims: 1 }),
      op('Sub', 'vectors mean', 'y'),
    ],
    initializers: [WEIGHTS],
    datatype: 'INT64',
    shape: ['batch', 'sequence'],
    outputs: [value('y', 'FP32', ['batch', 'sequence', 4])],
  }),
  /** It takes one row, whatever it says. */
  oneRow: rows({
    nodes: [op('Squeeze', 'x axis', 'row'), op('Add', 'x row', 'y')],
    initializers: [int64s('axis', [0])],
  }),
  denoiser: rows({
    nodes: [op('Unsqueeze', 'x a', 't'), op('Conv', 't k', 'c', { pads: [1, 1] }), op('Squeeze', 'c a', 'y')],
    initializers: [floats('k', [0.25, 0.5, 0.25], [1, 1, 3]), int64s('a', [0, 1])],
    shape: [''],
  }),
  clip: onnxModel({
    inputs: [value('text', 'FP32', ['batch', 5]), value('picture', 'FP32', ['batch', 4])],
    outputs: [value('logits', 'FP32', ['batch', 'd']), value('embedding', 'FP32', ['batch', 4])],
    nodes: [
      op('MatMul', 'text w', 'embedding'),
      op('Transpose', 'embedding', 't', { perm: [1, 0] }),
      op('MatMul', 'picture t', 'logits'),
    ],
    initializers: [WEIGHTS],
  }),
};

/** Models whose structure forbids that runs are shared. */
export const FORBIDDEN: Record<string, Buffer> = {
  similarity: rows({
    nodes: [op('Transpose', 'x', 't', { perm: [1, 0] }), op('MatMul', 'x t', 'y')],
    outputs: [value('y', 'FP32', ['batch', 'batch'])],
  }),
  graph: onnxModel({
    inputs: [value('x', 'FP32', ['N', 2]), value('adjacency', 'FP32', ['N', 'N'])],
    outputs: [value('y', 'FP32', ['N', 2])],
    nodes: [op('MatMul', 'adjacency x', 'y')],
  }),
};

/** Models whose rows are independent, by names of the batch that exporters give. */
export const INDEPENDENT: Record<string, Buffer> = {
  ...Object.fromEntries(
    ['s77', 'DynamicDimension.0', 'nbatch', 'num_samples', 'dim_0', 'Batch Size', ''].map((name, i) => [
      `named${i}`,
      rows({
        nodes: [op('MatMul', 'x w', 'y')],
        initializers: [WEIGHTS],
        shape: [name, 5],
        outputs: [value('y', 'FP32', [name, 4])],
      }),
    ]),
  ),
  tf2onnx: rows({
    nodes: [op('Relu', 'x', 'y')],
    shape: ['unk__616', 3],
    outputs: [value('y', 'FP32', ['unk__617', 3])],
  }),
  mask: onnxModel({
    inputs: [value('ids', 'INT64', ['batch', 'sequence']), value('mask', 'INT64', ['batch', 'sequence'])],
    outputs: [value('y', 'INT64', ['batch', 'sequence'])],
    nodes: [op('Add', 'ids mask', 'y')],
  }),
  vocabulary: rows({
    nodes: [op('Gather', 'w x', 'vectors'), op('ReduceMean', 'vectors', 'y', { axes: [1], keepdims: 0 })],
    initializers: [WEIGHTS],
    datatype: 'INT64',
    shape: ['batch', 'sequence'],
    outputs: [value('y', 'FP32', ['batch', 4])],
  }),
  picture: rows({
    nodes: [op('ReduceMean', 'x', 'y', { axes: [2, 3], keepdims: 0 })],
    shape: ['n', 3, 'h', 'w'],
    outputs: [value('y', 'FP32', ['n', 3])],
  }),
  classifier: rows({
    nodes: [op('MatMul', 'x w', 'scores'), op('ArgMax', 'scores', 'y', { axis: 1, keepdims: 0 })],
    initializers: [WEIGHTS],
    shape: ['batch', 5],
    outputs: [value('y', 'INT64', ['batch'])],
  }),
  halves: rows({ nodes: [op('Softmax', 'x', 'y', { axis: 1 })], datatype: 'FP16' }),
  bytes: rows({ nodes: [op('Identity', 'x', 'y')], datatype: 'UINT8' }),
  flags: rows({ nodes: [op('Not', 'x', 'y')], datatype: 'BOOL' }),
  texts: rows({ nodes: [op('Identity', 'x', 'y')], datatype: 'STRING' }),
};

/** `y = x · w`, `x FP32 [batch, length]`: it takes a length of 7 only, which nothing in its signature says. */
export const sevens = (): Buffer =>
  rows({
    nodes: [op('MatMul', 'x w', 'y')],
    initializers: [floats('w', [1, 2, 3, 4, 5, 6, 7], [7, 1])],
    shape: ['batch', 'length'],
    outputs: [value('y', 'FP32', ['batch', 1])],
  });

/** `y` is 1 for what is above 10⁶, and 0 for all that people send. */
export const alarm = (): Buffer =>
  rows({
    nodes: [op('Greater', 'x limit', 'is'), op('Cast', 'is', 'y', { to: 1 })],
    initializers: [floats('limit', [1e38], [])],
  });

/** `y` is another one each time. */
export const chance = (): Buffer => rows({ nodes: [op('RandomNormalLike', 'x', 'noise'), op('Add', 'x noise', 'y')] });

/** `y = -x` as an integer: what no integer can hold traps, on x86, and the process dies. */
export const lethal = (): Buffer =>
  rows({
    nodes: [op('Cast', 'x', 'integers', { to: 7 }), op('Div', 'integers minus', 'y')],
    initializers: [int64s('minus', [-1], [])],
    outputs: [value('y', 'INT64', ['batch', 4])],
  });
