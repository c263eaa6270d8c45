import {
  describeShape,
  elementCount,
  type NumericArray,
  STORAGE,
  type Tensor,
  viewAs,
} from '../../src/tensor/tensor.ts';

/** How far floats may be apart, as a share of the largest finite value of their row: sums are rounded in another order. */
const TOLERANCE = 1e-4;
const TOLERANCE_FP16 = 5e-3;

/** Floats that differ by less than this share of what is allowed in the middle row of their run are rounded otherwise. */
const ROUNDING_SHARE = 0.01;

/** One row of one output that a run beside other rows gave, and a run alone did not. */
export interface RowDifference {
  output: string;
  /** Its index among the rows that are compared. */
  row: number;
  /** `exact`: of integers, booleans or strings. */
  kind: 'shape' | 'float' | 'exact';
  /** Floats: the largest distance of two elements; infinite where one is finite and the other is not. Otherwise infinite. */
  by: number;
  /** A sentence for everybody: it holds no value of anybody's. */
  text: string;
}

/**
 * Compares the outputs of some rows that ran alone with those of the same rows beside others, by the names of the outputs. Gives
 * at most one difference for each row of each output; none: the runs gave the same.
 */
export function rowDifferences(alone: readonly Tensor[], beside: readonly Tensor[]): RowDifference[] {
  return alone.flatMap((output) => {
    const { name: of, datatype, shape } = output;
    const other = beside.find(({ name }) => name === of);
    if (other?.datatype !== datatype || describeShape(other.shape) !== describeShape(shape)) {
      const got = other ? `${other.datatype} ${describeShape(other.shape)}` : 'nothing';
      const text = `output "${of}" is ${got} beside other rows, and ${datatype} ${describeShape(shape)} alone`;
      return [{ output: of, row: 0, kind: 'shape' as const, by: Number.POSITIVE_INFINITY, text }];
    }
    return STORAGE[datatype].kind === 'float' ? floatDifferences(output, other) : exactDifferences(output, other);
  });
}

/**
 * Whether a float differs by what another order of a sum makes of it. That is too much for a row whose terms cancel each other out,
 * and little beside the rows that it ran with; of those the middle one counts, so that nobody's large values hide a difference.
 */
export function isRounding({ kind, output: name, by }: RowDifference, outputs: readonly Tensor[]): boolean {
  const output = outputs.find((other) => other.name === name);
  if (kind !== 'float' || !output) return false;
  const scales = rowScales(output).sort((a, b) => a - b);
  const middle = scales[Math.floor((scales.length - 1) / 2)] ?? 0;
  return by <= ROUNDING_SHARE * toleranceOf(output) * middle;
}

/** The largest finite absolute value of each row; 0 where there is none. */
export function rowScales(output: Tensor): number[] {
  const numbers = floatsOf(output);
  const width = widthOf(output);
  return Array.from({ length: rowsIn(output) }, (_, row) => scaleOf(numbers, row * width, (row + 1) * width));
}

function toleranceOf({ datatype }: Pick<Tensor, 'datatype'>): number {
  return datatype === 'FP16' ? TOLERANCE_FP16 : TOLERANCE;
}

function floatDifferences(alone: Tensor, beside: Tensor): RowDifference[] {
  const [expected, got] = [floatsOf(alone), floatsOf(beside)];
  const width = widthOf(alone);
  const tolerance = toleranceOf(alone);
  const { name: output, datatype } = alone;
  const text = `${datatype} output "${output}" of a row beside other rows is off by more than ${tolerance} of the row's largest value alone`;
  return Array.from({ length: rowsIn(alone) }, (_, row): RowDifference => {
    const by = distance(expected, got, row * width, (row + 1) * width);
    return { output, row, kind: 'float', by, text };
  }).filter(({ row, by }) => by > 0 && !(by <= tolerance * scaleOf(expected, row * width, (row + 1) * width)));
}

function exactDifferences(alone: Tensor, beside: Tensor): RowDifference[] {
  const width = widthOf(alone);
  const { name: output, datatype } = alone;
  const text = `${datatype} output "${output}" of a row beside other rows is not what it is alone`;
  return Array.from({ length: rowsIn(alone) }, (_, row): RowDifference => {
    const by = Number.POSITIVE_INFINITY;
    return { output, row, kind: 'exact', by, text };
  }).filter(({ row }) => !isSame(alone, beside, row * width, (row + 1) * width));
}

/** The largest distance of two elements at the same place. NaN equals NaN, and an infinity itself. */
function distance(expected: ArrayLike<number>, got: ArrayLike<number>, start: number, end: number): number {
  let largest = 0;
  for (let i = start; i < end; i += 1) {
    const [a, b] = [expected[i] ?? 0, got[i] ?? 0];
    if (Object.is(a, b) || a === b) continue;
    if (!Number.isFinite(a) || !Number.isFinite(b)) return Number.POSITIVE_INFINITY;
    largest = Math.max(largest, Math.abs(a - b));
  }
  return largest;
}

function scaleOf(numbers: ArrayLike<number>, start: number, end: number): number {
  let largest = 0;
  for (let i = start; i < end; i += 1) {
    const size = Math.abs(numbers[i] ?? 0);
    if (size > largest && size < Number.POSITIVE_INFINITY) largest = size;
  }
  return largest;
}

function isSame({ data: alone, datatype }: Tensor, { data: beside }: Tensor, start: number, end: number): boolean {
  if (Array.isArray(alone) || Array.isArray(beside)) {
    for (let i = start; i < end; i += 1) if (alone[i] !== beside[i]) return false;
    return true;
  }
  const { bytes } = STORAGE[datatype];
  const [from, to] = [start * bytes, end * bytes];
  return Buffer.compare(alone.subarray(from, to), beside.subarray(from, to)) === 0;
}

function floatsOf({ datatype, data }: Tensor): Exclude<NumericArray, BigInt64Array | BigUint64Array> {
  const numbers = datatype === 'STRING' || Array.isArray(data) ? new Float32Array() : viewAs(datatype, data);
  return numbers instanceof BigInt64Array || numbers instanceof BigUint64Array ? new Float32Array() : numbers;
}

/** A scalar is one row. */
function rowsIn({ shape }: Tensor): number {
  return shape[0] ?? 1;
}

function widthOf({ shape }: Tensor): number {
  return elementCount(shape.slice(1));
}
