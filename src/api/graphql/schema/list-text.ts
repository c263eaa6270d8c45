import { byteLength, type Datatype, type NumericArray, STORAGE, type Tensor, viewAs } from '../../../tensor/tensor.ts';

/** Elements, or groups of twelve bytes of base64, that become text at once: less than a millisecond of work. */
const BLOCK = 4_096;

/** A part of an answer that is written while the client reads it. */
export interface TextSource {
  /** Estimated size in the answer. */
  bytes: number;
  pieces(): Iterable<string>;
}

/** Bytes of an element as JSON with its comma: for floats a usual value, for all others the maximum. */
const ELEMENT_BYTES: Record<Exclude<Datatype, 'STRING'>, number> = {
  BOOL: 6,
  UINT8: 4,
  UINT16: 6,
  UINT32: 13,
  UINT64: 23,
  INT8: 5,
  INT16: 7,
  INT32: 12,
  INT64: 23,
  FP16: 12,
  FP32: 20,
  FP64: 20,
};

export function listBytes(tensor: Tensor): number {
  return tensor.datatype === 'STRING' ? byteLength(tensor) : countOf(tensor) * ELEMENT_BYTES[tensor.datatype];
}

export function countOf({ datatype, data }: Tensor): number {
  return data.length / (STORAGE[datatype].bytes || 1);
}

/**
 * A tensor's elements as lists in lists of this shape, which has at least one element; integers become their labels where there are some.
 * The same JSON as GraphQL's own, which makes a number, a place and a value of each element first.
 */
export function listText(tensor: Tensor, shape: readonly number[], labels?: readonly string[]): TextSource {
  const count = countOf(tensor);
  const longest = labels?.reduce((most, label) => Math.max(most, label.length), 0);
  return {
    bytes: Math.max(listBytes(tensor), count * ((longest ?? 0) + 3)),
    *pieces() {
      const spans = spansOf(shape);
      yield '['.repeat(shape.length);
      for (let start = 0; start < count; start += BLOCK) {
        const end = Math.min(start + BLOCK, count);
        yield blockText(elementTexts(tensor, start, end, labels), start, end, spans);
      }
      yield ']'.repeat(shape.length);
    },
  };
}

/** How many elements each inner list has, the innermost first. */
function spansOf(shape: readonly number[]): number[] {
  const spans: number[] = [];
  for (let i = shape.length - 1; i > 0; i -= 1) spans.push((spans.at(-1) ?? 1) * (shape[i] ?? 1));
  return spans;
}

function blockText(textOf: (i: number) => string, start: number, end: number, spans: readonly number[]): string {
  const [inner = Infinity] = spans;
  let text = '';
  for (let i = start; i < end; i += 1) {
    if (i > 0) {
      const closed = i % inner === 0 ? spans.filter((span) => i % span === 0).length : 0;
      text += closed === 0 ? ',' : `${']'.repeat(closed)},${'['.repeat(closed)}`;
    }
    text += textOf(i);
  }
  return text;
}

/** The JSON of each element from `start` to `end`, by its place in the whole. */
function elementTexts(tensor: Tensor, start: number, end: number, labels?: readonly string[]): (i: number) => string {
  const { datatype, data } = tensor;
  if (datatype === 'STRING' || Array.isArray(data)) return (i) => JSON.stringify(data[i]);
  const numbers: ArrayLike<number | bigint> = blockOf(datatype, data, start, end);
  if (labels) return (i) => JSON.stringify(labels[Number(numbers[i - start])] ?? String(numbers[i - start]));
  switch (STORAGE[datatype].kind) {
    case 'boolean':
      return (i) => (numbers[i - start] ? 'true' : 'false');
    case 'long':
      return (i) => `"${numbers[i - start]}"`;
    default:
      return (i) => `${numbers[i - start]}`;
  }
}

/** A part of the elements: a copy of bytes that are not aligned is no larger than that. */
function blockOf(datatype: Exclude<Datatype, 'STRING'>, data: Uint8Array, start: number, end: number): NumericArray {
  const { bytes } = STORAGE[datatype];
  return viewAs(datatype, data.subarray(start * bytes, end * bytes));
}

const finite = new WeakMap<Tensor, boolean>();

/** Whether JSON can express every element. Checked once per tensor. */
export function isFiniteTensor(tensor: Tensor): boolean {
  const { datatype, data } = tensor;
  if (datatype === 'STRING' || Array.isArray(data) || STORAGE[datatype].kind !== 'float') return true;
  const known = finite.get(tensor);
  if (known !== undefined) return known;
  let found = true;
  for (let start = 0, count = countOf(tensor); found && start < count; start += BLOCK) {
    const block: ArrayLike<number | bigint> = blockOf(datatype, data, start, Math.min(start + BLOCK, count));
    for (let i = 0; i < block.length; i += 1) found &&= Number.isFinite(block[i]);
  }
  finite.set(tensor, found);
  return found;
}

/** Bytes as a text of base64. */
export function base64Text({ buffer, byteOffset, byteLength: length }: Uint8Array): TextSource {
  const bytes = Buffer.from(buffer, byteOffset, length);
  return {
    bytes: Math.ceil(length / 3) * 4 + 2,
    *pieces() {
      yield '"';
      const step = BLOCK * 12;
      for (let start = 0; start < length; start += step) yield bytes.toString('base64', start, start + step);
      yield '"';
    },
  };
}
