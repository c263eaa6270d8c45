import type { GraphQLResolveInfo } from 'graphql';
import { DATATYPES, type ElementKind, STORAGE, type Tensor, type TensorSpec } from '../../../tensor/tensor.ts';
import { elementsOf } from '../../../tensor/tensor-values.ts';
import type { AnswerText } from './answer-text.ts';
import type { Builder } from './builder.ts';
import { countOf, isFiniteTensor } from './list-text.ts';

/** The tensors API, after the Open Inference Protocol: every datatype, every shape. */
export function addTensorTypes(builder: Builder) {
  const datatype = addDatatype(builder);
  return { ...addTensorOutputs(builder, datatype), tensorsInput: addTensorsInput(builder, datatype) };
}

export type TensorTypes = ReturnType<typeof addTensorTypes>;

type DatatypeRef = ReturnType<typeof addDatatype>;

function addDatatype(builder: Builder) {
  return builder.enumType('TensorDatatype', {
    description: "The Open Inference Protocol's datatypes; its BYTES is called STRING here.",
    values: DATATYPES,
  });
}

function addTensorOutputs(builder: Builder, datatype: DatatypeRef) {
  const spec = builder.objectRef<TensorSpec>('TensorSpec').implement({
    description: 'The name, datatype and shape of an input or output.',
    fields: (t) => ({
      name: t.exposeString('name'),
      datatype: t.expose('datatype', { type: datatype }),
      shape: t.expose('shape', {
        type: t.listRef('Int', { nullable: true }),
        nullable: true,
        description: 'null for a dimension that may vary; the whole list is null if the rank is unknown.',
      }),
    }),
  });

  const tensor = builder.objectRef<Tensor>('Tensor').implement({
    description: 'A value, row-major. The list that fits its datatype is non-null.',
    fields: (t) => ({
      name: t.exposeString('name'),
      datatype: t.expose('datatype', { type: datatype }),
      shape: t.exposeIntList('shape'),
      floats: t.floatList({
        nullable: true,
        description: 'FP16, FP32, FP64; null if any element is not finite: use base64.',
        resolve: (value, _args, { answer }, info) =>
          isKind(value, 'float') && isFiniteTensor(value) ? (listed(value, answer, info) ?? numbersOf(value)) : null,
      }),
      ints: t.intList({
        nullable: true,
        description: 'INT8, INT16, INT32, UINT8, UINT16.',
        resolve: (value, _args, { answer }, info) =>
          isKind(value, 'int') ? (listed(value, answer, info) ?? numbersOf(value)) : null,
      }),
      longs: t.stringList({
        nullable: true,
        description: 'UINT32, INT64, UINT64, as decimal strings.',
        resolve: (value, _args, { answer }, info) =>
          isKind(value, 'long') ? (listed(value, answer, info) ?? elementsOf(value).map(String)) : null,
      }),
      booleans: t.booleanList({
        nullable: true,
        description: 'BOOL.',
        resolve: (value, _args, { answer }, info) =>
          isKind(value, 'boolean') ? (listed(value, answer, info) ?? elementsOf(value).map(Boolean)) : null,
      }),
      strings: t.stringList({
        nullable: true,
        description: 'STRING.',
        resolve: (value, _args, { answer }, info) =>
          Array.isArray(value.data) ? (listed(value, answer, info) ?? value.data) : null,
      }),
      base64: t.string({
        nullable: true,
        description: 'The bytes, little endian, row-major; null for STRING.',
        resolve: ({ data }, _args, { answer }, info) => (Array.isArray(data) ? null : answer.base64(data, info)),
      }),
    }),
  });

  return { spec, tensor };
}

function addTensorsInput(builder: Builder, datatype: DatatypeRef) {
  const data = builder.inputType('TensorData', {
    description: 'The elements, row-major: a list that fits the datatype, or the bytes.',
    isOneOf: true,
    fields: (t) => ({
      floats: t.floatList({ description: 'FP16, FP32, FP64.' }),
      ints: t.intList({ description: 'Every integer datatype, for values that fit into 32 bits, signed.' }),
      longs: t.stringList({ description: 'Every integer datatype, as decimal strings.' }),
      booleans: t.booleanList({ description: 'BOOL.' }),
      strings: t.stringList({ description: 'STRING.' }),
      base64: t.string({
        description: 'The bytes, little endian, for every datatype except STRING. Use it to send NaN.',
      }),
    }),
  });
  const tensorInput = builder.inputType('TensorInput', {
    description: 'The value of one input, row-major.',
    fields: (t) => ({
      name: t.string({ required: true }),
      datatype: t.field({ type: datatype, required: true }),
      shape: t.intList({ required: true }),
      data: t.field({ type: data, required: true }),
    }),
  });
  return builder.inputType('TensorsInput', {
    description: 'The tensors API: any model, with one tensor for each input of its signature.',
    fields: (t) => ({
      model: t.string({ required: true }),
      inputs: t.field({ type: [tensorInput], required: true }),
    }),
  });
}

function isKind({ datatype }: Tensor, kind: ElementKind): boolean {
  return STORAGE[datatype].kind === kind;
}

function numbersOf(tensor: Tensor): number[] {
  return elementsOf(tensor).map(Number);
}

/** All elements in one list, whatever the shape. */
function listed(tensor: Tensor, answer: AnswerText, info: GraphQLResolveInfo): [] | undefined {
  return answer.list(tensor, [countOf(tensor)], info);
}
