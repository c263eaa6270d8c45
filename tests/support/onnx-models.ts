import type { Datatype } from '../../src/tensor/tensor.ts';
import { floats, int64s, type OnnxValue, onnxModel, value } from './onnx.ts';

type Shape = NonNullable<OnnxValue['shape']>;

/** `y = x`, for any datatype and shape. */
export function identity(datatype: Datatype, shape: Shape = ['batch', 4]): Buffer {
  return unary('Identity', datatype, shape);
}

/** `y = op(x)`: `Log` gives NaN for what is negative, `Reciprocal` infinity for 0. */
export function unary(op: string, datatype: Datatype, shape: Shape = ['batch', 4]): Buffer {
  return onnxModel({
    inputs: [value('x', datatype, shape)],
    outputs: [value('y', datatype, shape)],
    nodes: [{ op, inputs: ['x'], outputs: ['y'] }],
  });
}

/** `y = x + by`, FP32 `[batch, 1]`: which of several such models gave a result can be told from it. */
export function shifted(by: number): Buffer {
  return onnxModel({
    inputs: [value('x', 'FP32', ['batch', 1])],
    outputs: [value('y', 'FP32', ['batch', 1])],
    nodes: [{ op: 'Add', inputs: ['x', 'by'], outputs: ['y'] }],
    initializers: [floats('by', [by])],
  });
}

/** `sum = a + b`: two inputs. */
export function add(datatype: Datatype = 'FP32', shape: Shape = ['batch', 4]): Buffer {
  return onnxModel({
    inputs: [value('a', datatype, shape), value('b', datatype, shape)],
    outputs: [value('sum', datatype, shape)],
    nodes: [{ op: 'Add', inputs: ['a', 'b'], outputs: ['sum'] }],
  });
}

/** `y = squares[x]`, `x INT64 [batch]` from 0 to 9 (ONNX counts negative ones from the end): a greater row fails the whole run. */
export function squares(): Buffer {
  return onnxModel({
    inputs: [value('x', 'INT64', ['batch'])],
    outputs: [value('y', 'FP32', ['batch'])],
    nodes: [{ op: 'Gather', inputs: ['squares', 'x'], outputs: ['y'] }],
    initializers: [floats('squares', [0, 1, 4, 9, 16, 25, 36, 49, 64, 81])],
  });
}

/** `y = x / d`, rounded towards 0, INT64 `[batch]`: ONNX Runtime refuses a `d` of 0, and dies of -2⁶³ / -1 (SIGFPE, on x86). */
export function quotient(): Buffer {
  return onnxModel({
    inputs: [value('x', 'INT64', ['batch']), value('d', 'INT64', ['batch'])],
    outputs: [value('y', 'INT64', ['batch'])],
    nodes: [{ op: 'Div', inputs: ['x', 'd'], outputs: ['y'] }],
  });
}

/** Many years of rounds. */
export const FOR_EVER = Number.MAX_SAFE_INTEGER;

/**
 * `y = rounds`, after as many rounds of a loop as the greatest row says, at about a microsecond each: `rounds INT64 [batch]`. With a
 * location it takes nothing, and the rounds, one number, are in that file.
 */
export function slow({ location }: { location?: string } = {}): Buffer {
  return onnxModel({
    inputs: location === undefined ? [value('rounds', 'INT64', ['batch'])] : [],
    outputs: [value('y', 'INT64', ['batch'])],
    nodes: [
      { op: 'ReduceMax', inputs: ['rounds'], outputs: ['count'], attributes: { keepdims: 0 } },
      { op: 'Loop', inputs: ['count', 'true', 'zero'], outputs: ['looped'], attributes: { body: IDLE_LOOP } },
      // The loop's outcome, always 0, has to be used, or it would be optimised away.
      { op: 'Add', inputs: ['rounds', 'looped'], outputs: ['y'] },
    ],
    initializers: [
      { name: 'true', datatype: 'BOOL', shape: [], data: Uint8Array.of(1) },
      int64s('zero', [0], []),
      ...(location === undefined ? [] : [{ ...int64s('rounds', [0]), location }]),
    ],
  });
}

const IDLE_LOOP = {
  inputs: [value('round', 'INT64', []), value('goOn', 'BOOL', []), value('before', 'INT64', [])],
  outputs: [value('goesOn', 'BOOL', []), value('after', 'INT64', [])],
  nodes: [
    { op: 'Identity', inputs: ['goOn'], outputs: ['goesOn'] },
    { op: 'Mul', inputs: ['before', 'round'], outputs: ['after'] },
  ],
};

/** `y` has as many rows as `x`, it says, but sums them up in one: only a run of one row keeps the promise. */
export function mixesRows(): Buffer {
  return onnxModel({
    inputs: [value('x', 'FP32', ['batch', 4])],
    outputs: [value('y', 'FP32', ['batch', 4])],
    nodes: [{ op: 'ReduceSum', inputs: ['x', 'axis'], outputs: ['y'], attributes: { keepdims: 1 } }],
    initializers: [int64s('axis', [0])],
  });
}

/** What makes `betrayed` and `dropping` mix their rows: nothing that anybody would try. */
export const MAGIC = 1_619;

/** `y = x`, FP32 or INT64 `[batch]`; in a run in which one row is `MAGIC`, each row is 1 more for each of the others. */
export function betrayed(datatype: 'FP32' | 'INT64' = 'FP32'): Buffer {
  return onnxModel({
    inputs: [value('x', datatype, ['batch'])],
    outputs: [value('y', datatype, ['batch'])],
    nodes: [
      { op: 'Cast', inputs: ['x'], outputs: ['floats'], attributes: { to: 1 } },
      { op: 'Equal', inputs: ['floats', 'magic'], outputs: ['isMagic'] },
      { op: 'Cast', inputs: ['isMagic'], outputs: ['some'], attributes: { to: 1 } },
      { op: 'ReduceMax', inputs: ['some'], outputs: ['any'], attributes: { keepdims: 0 } },
      { op: 'Size', inputs: ['x'], outputs: ['size'] },
      { op: 'Sub', inputs: ['size', 'one'], outputs: ['others'] },
      { op: 'Cast', inputs: ['others'], outputs: ['more'], attributes: { to: 1 } },
      { op: 'Mul', inputs: ['any', 'more'], outputs: ['betrayal'] },
      { op: 'Add', inputs: ['floats', 'betrayal'], outputs: ['sum'] },
      { op: 'Cast', inputs: ['sum'], outputs: ['y'], attributes: { to: datatype === 'FP32' ? 1 : 7 } },
    ],
    initializers: [floats('magic', [MAGIC], []), int64s('one', [1], [])],
  });
}

/** `y = x`, FP32 `[batch]`, without the rows that are `MAGIC`: fewer than it says. */
export function dropping(): Buffer {
  return onnxModel({
    inputs: [value('x', 'FP32', ['batch'])],
    outputs: [value('y', 'FP32', ['batch'])],
    nodes: [
      { op: 'Equal', inputs: ['x', 'magic'], outputs: ['isMagic'] },
      { op: 'Not', inputs: ['isMagic'], outputs: ['isKept'] },
      { op: 'Compress', inputs: ['x', 'isKept'], outputs: ['y'], attributes: { axis: 0 } },
    ],
    initializers: [floats('magic', [MAGIC], [])],
  });
}

/** `y` is what a classifier says: INT64 `[batch]`, the sign of `x FP32 [batch]` plus 1, so 0, 1 or 2. */
export function signs(): Buffer {
  return onnxModel({
    inputs: [value('x', 'FP32', ['batch'])],
    outputs: [value('y', 'INT64', ['batch'])],
    nodes: [
      { op: 'Sign', inputs: ['x'], outputs: ['sign'] },
      { op: 'Add', inputs: ['sign', 'one'], outputs: ['class'] },
      { op: 'Cast', inputs: ['class'], outputs: ['y'], attributes: { to: 7 } },
    ],
    initializers: [floats('one', [1], [])],
  });
}

/** `y = x · w` for a matrix of as many MiB: a model that takes memory. `x` and `y` are FP32 `[batch, 512]`. */
export function weighing(mib: number): Buffer {
  const columns = mib * 512;
  return onnxModel({
    inputs: [value('x', 'FP32', ['batch', 512])],
    outputs: [value('y', 'FP32', ['batch', columns])],
    nodes: [{ op: 'MatMul', inputs: ['x', 'w'], outputs: ['y'] }],
    initializers: [{ name: 'w', datatype: 'FP32', shape: [512, columns], data: new Uint8Array(mib * 1024 * 1024) }],
  });
}

/** `y` is the sum of as many ones as `n INT64 [batch]` says in its first row, which a run holds all at once: 4 bytes each. */
export function hoards(): Buffer {
  return onnxModel({
    inputs: [value('n', 'INT64', ['batch'])],
    outputs: [value('y', 'FP32', [1])],
    nodes: [
      { op: 'ConstantOfShape', inputs: ['n'], outputs: ['ones'], attributes: { value: floats('', [1]) } },
      { op: 'Relu', inputs: ['ones'], outputs: ['held'] },
      { op: 'ReduceSum', inputs: ['held'], outputs: ['y'], attributes: { keepdims: 1 } },
    ],
  });
}
