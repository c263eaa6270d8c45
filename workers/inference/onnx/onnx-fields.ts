import { closeSync, fstatSync, openSync, readSync } from 'node:fs';

/** A field of a protocol buffers message: a number, or what lies between two places of the file. */
export interface Field {
  number: number;
  value: number;
  start: number;
  end: number;
}

export type Read = (position: number, length: number) => Buffer;

/** Of a model, its graph. */
export const GRAPH = 7;

/** What is read at once: most fields are a few bytes, and weights are passed over. */
const CHUNK_BYTES = 16 * 1024;
/** A name is no longer than this. */
const TEXT_BYTES_MAX = 1024 * 1024;

/** Reads an ONNX file from field to field; `use` is given its outermost message, of `size` bytes. */
export function readModel<T>(file: string, use: (read: Read, model: Field, size: number) => T): T {
  const descriptor = openSync(file, 'r');
  try {
    const { size } = fstatSync(descriptor);
    let chunk = { start: 0, bytes: Buffer.alloc(0) };
    const read = (position: number, length: number) => {
      if (position < chunk.start || position + length > chunk.start + chunk.bytes.length) {
        const buffer = Buffer.alloc(Math.max(length, CHUNK_BYTES));
        chunk = {
          start: position,
          bytes: buffer.subarray(0, readSync(descriptor, buffer, 0, buffer.length, position)),
        };
      }
      return chunk.bytes.subarray(position - chunk.start, position - chunk.start + length);
    };
    return use(read, { number: 0, value: 0, start: 0, end: Number.POSITIVE_INFINITY }, size);
  } finally {
    closeSync(descriptor);
  }
}

export function readGraph<T>(file: string, use: (read: Read, graph: Field) => T): T {
  return readModel(file, (read, model) => {
    // A file without a graph has none of what is asked for.
    const [graph = { ...model, end: 0 }] = fieldsOf(read, model, GRAPH);
    return use(read, graph);
  });
}

export function textIn(read: Read, { start, end }: Field): string {
  if (end - start > TEXT_BYTES_MAX) throw notOnnx(start);
  return read(start, end - start).toString();
}

/** The fields of a message that have one of these numbers. */
export function fieldsOf(read: Read, message: Field, ...numbers: number[]): Field[] {
  const found: Field[] = [];
  let position = message.start;
  while (position < message.end) {
    const field = fieldAt(read, position);
    if (!field) break;
    if (numbers.includes(field.number)) found.push(field);
    position = field.end;
  }
  return found;
}

/** `undefined` at the end of the file. */
function fieldAt(read: Read, position: number): Field | undefined {
  const head = read(position, 20);
  if (head.length === 0) return undefined;
  const tag = varintAt(head, 0);
  const number = tag.value >>> 3;
  // No message has such a field. A file that was made room for and not written yet is zeros, read as a billion of them, for minutes.
  if (number === 0) throw notOnnx(position);
  const start = position + tag.end;
  switch (tag.value & 7) {
    case 0: {
      const { value, end } = varintAt(head, tag.end);
      return { number, value, start, end: position + end };
    }
    case 1:
      return { number, value: 0, start, end: start + 8 };
    case 2: {
      const length = varintAt(head, tag.end);
      return { number, value: 0, start: position + length.end, end: position + length.end + length.value };
    }
    case 5:
      return { number, value: 0, start, end: start + 4 };
    default:
      throw notOnnx(position);
  }
}

function notOnnx(position: number): Error {
  return new Error(`expected ONNX, a protocol buffers field, at byte ${position}`);
}

function varintAt(bytes: Buffer, start: number): { value: number; end: number } {
  let value = 0;
  for (let i = start; i < bytes.length; i += 1) {
    const octet = bytes[i] ?? 0;
    value += (octet & 127) * 2 ** (7 * (i - start));
    if (octet < 128) return { value, end: i + 1 };
  }
  throw new Error('expected a protocol buffers number');
}
