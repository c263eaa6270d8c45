import { bytesOf, type Datatype, type Tensor } from '../../src/tensor/tensor.ts';

/** A tensor that goes in or comes out; a dimension is a length or the symbol of one that may vary, `null` an unknown rank. */
export interface OnnxValue {
  name: string;
  /** A number is an ONNX element type that Foretell has no datatype for (16: bfloat16). */
  datatype: Datatype | number;
  shape: (number | string)[] | null;
  /** The value is a sequence of such tensors, which is no tensor. */
  sequence?: boolean;
}

export interface OnnxNode {
  op: string;
  inputs: string[];
  outputs: string[];
  attributes?: Record<string, OnnxAttribute>;
  /** @default the standard operators */
  domain?: string;
}

/** A number is an integer attribute, `{ float }` one that is not, an array a list of integers, an object with nodes a subgraph. */
export type OnnxAttribute = number | number[] | string | { float: number } | OnnxConstant | OnnxGraph;

export interface OnnxGraph {
  inputs: OnnxValue[];
  outputs: OnnxValue[];
  nodes: OnnxNode[];
  /** Constants of the graph. */
  initializers?: OnnxConstant[];
}

/** With a location, its data are the whole of that file, beside the model's. */
export type OnnxConstant = Tensor & { location?: string };

const OPSET = 17;
const IR_VERSION = 8;

/** The bytes of an `.onnx` file, so that tests need neither Python nor files that nobody can read. Field numbers: onnx.proto. */
export function onnxModel(graph: OnnxGraph): Buffer {
  const opset = (domain: string, version: number) => message(8, [text(1, domain), int(2, version)]);
  return Buffer.concat([
    int(1, IR_VERSION),
    message(7, graphFields(graph)),
    opset('', OPSET),
    opset('com.microsoft', 1),
  ]);
}

export function value(name: string, datatype: Datatype | number, shape: OnnxValue['shape']): OnnxValue {
  return { name, datatype, shape };
}

/** A FP32 constant, its shape taken from the number of elements unless one is given. */
export function floats(name: string, values: number[], shape = [values.length]): Tensor {
  return { name, datatype: 'FP32', shape, data: bytesOf(Float32Array.from(values)) };
}

export function int64s(name: string, values: number[], shape = [values.length]): Tensor {
  return { name, datatype: 'INT64', shape, data: bytesOf(BigInt64Array.from(values, BigInt)) };
}

function graphFields({ inputs, outputs, nodes, initializers = [] }: OnnxGraph): Buffer[] {
  return [
    ...nodes.map((node) => message(1, nodeFields(node))),
    text(2, 'graph'),
    ...initializers.map((tensor) => message(5, tensorFields(tensor))),
    ...inputs.map((input) => message(11, valueFields(input))),
    ...outputs.map((output) => message(12, valueFields(output))),
  ];
}

function nodeFields({ op, inputs, outputs, attributes = {}, domain = '' }: OnnxNode): Buffer[] {
  return [
    ...inputs.map((name) => text(1, name)),
    ...outputs.map((name) => text(2, name)),
    text(4, op),
    ...Object.entries(attributes).map(([name, attribute]) =>
      message(5, [text(1, name), ...attributeFields(attribute)]),
    ),
    text(7, domain),
  ];
}

function attributeFields(attribute: OnnxAttribute): Buffer[] {
  const type = (number: number) => int(20, number);
  if (typeof attribute === 'number') return [int(3, attribute), type(2)];
  if (typeof attribute === 'string') return [text(4, attribute), type(3)];
  if (Array.isArray(attribute)) return [...attribute.map((integer) => int(8, integer)), type(7)];
  if ('nodes' in attribute) return [message(6, graphFields(attribute)), type(5)];
  if ('datatype' in attribute) return [message(5, tensorFields(attribute)), type(4)];
  const float = Buffer.alloc(4);
  float.writeFloatLE(attribute.float);
  return [Buffer.concat([varint((2n << 3n) | 5n), float]), type(1)];
}

function tensorFields({ name, datatype, shape, data, location }: OnnxConstant): Buffer[] {
  const inside = Array.isArray(data) ? data.map((string) => text(6, string)) : [bytes(9, data)];
  const outside = location === undefined ? [] : [message(13, [text(1, 'location'), text(2, location)]), int(14, 1)];
  const values = location === undefined ? inside : outside;
  return [...shape.map((dimension) => int(1, dimension)), int(2, ELEMENT_TYPES[datatype]), ...values, text(8, name)];
}

function valueFields({ name, datatype, shape, sequence = false }: OnnxValue): Buffer[] {
  const elementType = typeof datatype === 'number' ? datatype : ELEMENT_TYPES[datatype];
  const dimension = (length: number | string) => (typeof length === 'number' ? int(1, length) : text(2, length));
  const dimensions =
    shape === null
      ? []
      : [
          message(
            2,
            shape.map((length) => message(1, [dimension(length)])),
          ),
        ];
  const tensorType = message(1, [int(1, elementType), ...dimensions]);
  return [text(1, name), message(2, [sequence ? message(4, [message(1, [tensorType])]) : tensorType])];
}

const ELEMENT_TYPES: Record<Datatype, number> = {
  FP32: 1,
  UINT8: 2,
  INT8: 3,
  UINT16: 4,
  INT16: 5,
  INT32: 6,
  INT64: 7,
  STRING: 8,
  BOOL: 9,
  FP16: 10,
  FP64: 11,
  UINT32: 12,
  UINT64: 13,
};

// Protocol buffers: each field is its number and wire type, then its value.

function int(field: number, integer: number): Buffer {
  return Buffer.concat([varint(BigInt(field) << 3n), varint(BigInt.asUintN(64, BigInt(integer)))]);
}

function text(field: number, string: string): Buffer {
  return bytes(field, Buffer.from(string));
}

function message(field: number, fields: Buffer[]): Buffer {
  return bytes(field, Buffer.concat(fields));
}

function bytes(field: number, content: Uint8Array): Buffer {
  return Buffer.concat([varint((BigInt(field) << 3n) | 2n), varint(BigInt(content.length)), content]);
}

function varint(integer: bigint): Buffer {
  const octets: number[] = [];
  let rest = integer;
  for (; rest > 127n; rest >>= 7n) octets.push(Number(rest & 127n) | 128);
  return Buffer.from([...octets, Number(rest)]);
}
