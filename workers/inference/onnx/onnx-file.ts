import { type Field, fieldsOf, type Read, readGraph, readModel, textIn } from './onnx-fields.ts';

/** An input or output as the file declares it, where ONNX Runtime tells less. */
export interface DeclaredValue {
  /** `tensor`, `map`, `sequence of maps` and so on. */
  kind: string;
  /** ONNX's number for the datatype of the elements; `undefined` for what is no tensor. */
  elementType: number | undefined;
  /** Whether the rank is told: ONNX Runtime gives `[]` for a scalar and for a tensor of any rank alike. */
  hasShape: boolean;
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
const OPSET = 8;
const OPSET_DOMAIN = 1;
const OPSET_VERSION = 2;
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
