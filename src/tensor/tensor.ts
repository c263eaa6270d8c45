/** The Open Inference Protocol's list; its BYTES is called STRING here, because that is what ONNX means. */
export const DATATYPES = [
  'BOOL',
  'UINT8',
  'UINT16',
  'UINT32',
  'UINT64',
  'INT8',
  'INT16',
  'INT32',
  'INT64',
  'FP16',
  'FP32',
  'FP64',
  'STRING',
] as const;

export type Datatype = (typeof DATATYPES)[number];

/** One input or output of a model. `null` for a dimension that may vary; `shape: null` where the rank is unknown. */
export interface TensorSpec {
  name: string;
  datatype: Datatype;
  shape: (number | null)[] | null;
}

/** A value: row-major, little-endian bytes, or the strings themselves where the datatype is STRING. */
export interface Tensor {
  name: string;
  datatype: Datatype;
  shape: number[];
  data: Uint8Array | string[];
}

/** Which kind of JavaScript value stands for one element in the API. 64-bit integers do not fit a number. */
export type ElementKind = 'float' | 'int' | 'long' | 'boolean' | 'string';

interface Storage {
  /** Bytes of one element; 0 for strings, which have no fixed width. */
  bytes: number;
  kind: ElementKind;
  /** Least and greatest value of an integer datatype. */
  range?: readonly [bigint, bigint];
}

const integer = (bits: number, signed: boolean): Storage => ({
  bytes: bits / 8,
  // UINT32 is the first that GraphQL's Int, 32 bits signed, cannot hold.
  kind: bits === 64 || (bits === 32 && !signed) ? 'long' : 'int',
  range: signed ? [-(2n ** BigInt(bits - 1)), 2n ** BigInt(bits - 1) - 1n] : [0n, 2n ** BigInt(bits) - 1n],
});

export const STORAGE: Record<Datatype, Storage> = {
  BOOL: { bytes: 1, kind: 'boolean' },
  UINT8: integer(8, false),
  UINT16: integer(16, false),
  UINT32: integer(32, false),
  UINT64: integer(64, false),
  INT8: integer(8, true),
  INT16: integer(16, true),
  INT32: integer(32, true),
  INT64: integer(64, true),
  FP16: { bytes: 2, kind: 'float' },
  FP32: { bytes: 4, kind: 'float' },
  FP64: { bytes: 8, kind: 'float' },
  STRING: { bytes: 0, kind: 'string' },
};

/** Elements in a tensor of this shape: 1 for a scalar (`[]`), 0 if any dimension is 0. */
export function elementCount(shape: readonly number[]): number {
  return shape.reduce((count, dimension) => count * dimension, 1);
}

/** Whether a shape is one that the specification allows. */
export function fitsShape(shape: readonly number[], spec: TensorSpec['shape']): boolean {
  if (spec === null) return true;
  return shape.length === spec.length && spec.every((dimension, i) => dimension === null || dimension === shape[i]);
}

/** A shape as people write it: `[2, ?, 4]`; `any` where the rank is unknown. */
export function describeShape(shape: readonly (number | null)[] | null): string {
  return shape === null ? 'any' : `[${shape.map((dimension) => dimension ?? '?').join(', ')}]`;
}

/** Around each string of a list: two quotes and a comma. */
const STRING_OVERHEAD_BYTES = 3;

/** What a tensor's data takes: its bytes, or about those of its strings as JSON. */
export function byteLength({ data }: Pick<Tensor, 'data'>): number {
  return Array.isArray(data)
    ? data.reduce((sum, text) => sum + Buffer.byteLength(text) + STRING_OVERHEAD_BYTES, 0)
    : data.byteLength;
}

/** What the data of several tensors takes. */
export function byteLengths(tensors: readonly Pick<Tensor, 'data'>[]): number {
  return tensors.reduce((sum, tensor) => sum + byteLength(tensor), 0);
}

export type NumericArray =
  | Uint8Array
  | Uint16Array
  | Uint32Array
  | BigUint64Array
  | Int8Array
  | Int16Array
  | Int32Array
  | BigInt64Array
  | Float16Array
  | Float32Array
  | Float64Array;

const ARRAYS = {
  BOOL: Uint8Array,
  UINT8: Uint8Array,
  UINT16: Uint16Array,
  UINT32: Uint32Array,
  UINT64: BigUint64Array,
  INT8: Int8Array,
  INT16: Int16Array,
  INT32: Int32Array,
  INT64: BigInt64Array,
  FP16: Float16Array,
  FP32: Float32Array,
  FP64: Float64Array,
} as const;

/** The bytes as elements: a view where the bytes happen to be aligned, a copy where they are not. */
export function viewAs(datatype: Exclude<Datatype, 'STRING'>, bytes: Uint8Array): NumericArray {
  const array = ARRAYS[datatype];
  // Not `slice`, which copies a Uint8Array but only narrows a Buffer.
  const aligned = bytes.byteOffset % array.BYTES_PER_ELEMENT === 0 ? bytes : new Uint8Array(bytes);
  return new array(aligned.buffer as ArrayBuffer, aligned.byteOffset, aligned.byteLength / array.BYTES_PER_ELEMENT);
}

/** The bytes behind an array, without a copy. */
export function bytesOf(array: NumericArray): Uint8Array {
  return new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
}
