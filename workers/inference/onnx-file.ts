import { closeSync, openSync, readSync } from 'node:fs';

/** An input or output as the file declares it, where ONNX Runtime tells less. */
export interface DeclaredValue {
  /** `tensor`, `map`, `sequence of maps` and so on. */
  kind: string;
  /** ONNX's number for the datatype of the elements; `undefined` for what is no tensor. */
  elementType: number | undefined;
  /** Whether the rank is told: ONNX Runtime gives `[]` for a scalar and for a tensor of any rank alike. */
  hasShape: boolean;
}

/** A field of a protocol buffers message: a number, or what lies between two places of the file. */
interface Field {
  number: number;
  value: number;
  start: number;
  end: number;
}

/**
 * The inputs and outputs that an ONNX file declares, by name. Reads its way from field to field, past weights that may be
 * gigabytes. Field numbers: onnx.proto. Throws where the file is no protocol buffers message.
 */
export function declaredValues(file: string): Map<string, DeclaredValue> {
  return readGraph(file, (read, graph) => {
    const values = fieldsOf(read, graph, GRAPH_INPUT, GRAPH_OUTPUT).flatMap((value): [string, DeclaredValue][] =>
      fieldsOf(read, value, VALUE_NAME).map((name) => [textIn(read, name), declaredValue(read, value)]),
    );
    return new Map(values);
  });
}

/** The files beside an ONNX file that hold its weights, as it names them: none where it holds them itself. Throws likewise. */
export function externalFiles(file: string): string[] {
  return readGraph(file, (read, graph) => {
    const entries = fieldsOf(read, graph, GRAPH_INITIALIZER).flatMap((tensor) =>
      fieldsOf(read, tensor, TENSOR_EXTERNAL_DATA),
    );
    const locations = entries.filter((entry) =>
      fieldsOf(read, entry, ENTRY_KEY).some((key) => textIn(read, key) === 'location'),
    );
    return [
      ...new Set(locations.flatMap((entry) => fieldsOf(read, entry, ENTRY_VALUE).map((value) => textIn(read, value)))),
    ];
  });
}

/** What an ONNX file says of itself. */
export interface OnnxFacts {
  irVersion: number | undefined;
  /** The program that wrote it, with its version; `''` where it does not say. */
  producer: string;
  /** Sets of operators, by domain: `''` are ONNX's own. */
  opsets: { domain: string; version: number }[];
}

/** The head of an ONNX file. Throws likewise. */
export function factsOf(file: string): OnnxFacts {
  return readModel(file, (read, model) => {
    const texts = (message: Field, ...numbers: number[]) =>
      fieldsOf(read, message, ...numbers).map((text) => textIn(read, text));
    return {
      irVersion: fieldsOf(read, model, IR_VERSION)[0]?.value,
      producer: texts(model, PRODUCER, PRODUCER_VERSION).join(' '),
      opsets: fieldsOf(read, model, OPSET).map((opset) => ({
        domain: texts(opset, OPSET_DOMAIN)[0] ?? '',
        version: fieldsOf(read, opset, OPSET_VERSION)[0]?.value ?? 0,
      })),
    };
  });
}

const IR_VERSION = 1;
const PRODUCER = 2;
const PRODUCER_VERSION = 3;
const GRAPH = 7;
const OPSET = 8;
const OPSET_DOMAIN = 1;
const OPSET_VERSION = 2;
const GRAPH_INITIALIZER = 5;
const TENSOR_EXTERNAL_DATA = 13;
const ENTRY_KEY = 1;
const ENTRY_VALUE = 2;
const GRAPH_INPUT = 11;
const GRAPH_OUTPUT = 12;
const VALUE_NAME = 1;
const VALUE_TYPE = 2;
const TYPE_TENSOR = 1;
const TYPE_SEQUENCE = 4;
const SEQUENCE_ELEMENT = 1;
const TENSOR_ELEMENT_TYPE = 1;
const TENSOR_SHAPE = 2;

/** What a value may be, by the field of its type. */
const KINDS = new Map([
  [TYPE_TENSOR, 'tensor'],
  [TYPE_SEQUENCE, 'sequence'],
  [5, 'map'],
  [8, 'sparse tensor'],
  [9, 'optional value'],
]);

type Read = (position: number, length: number) => Buffer;

function readModel<T>(file: string, use: (read: Read, model: Field) => T): T {
  const descriptor = openSync(file, 'r');
  try {
    const read = (position: number, length: number) => {
      const buffer = Buffer.alloc(length);
      return buffer.subarray(0, readSync(descriptor, buffer, 0, length, position));
    };
    return use(read, { number: 0, value: 0, start: 0, end: Number.POSITIVE_INFINITY });
  } finally {
    closeSync(descriptor);
  }
}

function readGraph<T>(file: string, use: (read: Read, graph: Field) => T): T {
  return readModel(file, (read, model) => {
    // A file without a graph has none of what is asked for.
    const [graph = { ...model, end: 0 }] = fieldsOf(read, model, GRAPH);
    return use(read, graph);
  });
}

function textIn(read: Read, { start, end }: Field): string {
  return read(start, end - start).toString();
}

function declaredValue(read: Read, value: Field): DeclaredValue {
  const types = fieldsOf(read, value, VALUE_TYPE);
  const kinds = kindsOf(read, types);
  const tensors = kinds.filter(({ number }) => number === TYPE_TENSOR);
  const [elementType] = tensors.flatMap((tensor) => fieldsOf(read, tensor, TENSOR_ELEMENT_TYPE));
  const shapes = tensors.flatMap((tensor) => fieldsOf(read, tensor, TENSOR_SHAPE));
  const sequences = kinds.filter(({ number }) => number === TYPE_SEQUENCE);
  const elements = sequences.flatMap((sequence) => fieldsOf(read, sequence, SEQUENCE_ELEMENT));
  const [kind = 'value', each] = [...kinds, ...kindsOf(read, elements)].map(({ number }) => KINDS.get(number));
  return {
    kind: each === undefined ? kind : `${kind} of ${each}s`,
    elementType: elementType?.value,
    hasShape: shapes.length > 0,
  };
}

function kindsOf(read: Read, types: readonly Field[]): Field[] {
  return types.flatMap((type) => fieldsOf(read, type, ...KINDS.keys()));
}

/** The fields of a message that have one of these numbers. */
function fieldsOf(read: Read, message: Field, ...numbers: number[]): Field[] {
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
