import { DATATYPES, STORAGE, type Tensor, type TensorSpec } from '../tensor.ts';
import { elementsOf } from '../tensor-values.ts';
import type { Builder } from './builder.ts';

/** The generic door, after the Open Inference Protocol: every datatype, every shape. */
export function addTensorTypes(builder: Builder) {
  const datatype = builder.enumType('TensorDatatype', {
    description: "The Open Inference Protocol's datatypes; its BYTES is called STRING here.",
    values: DATATYPES,
  });

  const spec = builder.objectRef<TensorSpec>('TensorSpec').implement({
    description: 'What an input takes or an output gives.',
    fields: (t) => ({
      name: t.exposeString('name'),
      datatype: t.expose('datatype', { type: datatype }),
      shape: t.expose('shape', {
        type: t.listRef('Int', { nullable: true }),
        nullable: true,
        description: 'null for a dimension that may vary; null altogether where the rank is unknown.',
      }),
    }),
  });

  const tensor = builder.objectRef<Tensor>('Tensor').implement({
    description: 'A value, row-major. By datatype one of the lists is non-null.',
    fields: (t) => ({
      name: t.exposeString('name'),
      datatype: t.expose('datatype', { type: datatype }),
      shape: t.exposeIntList('shape'),
      floats: t.floatList({
        nullable: true,
        description: 'FP16, FP32, FP64; null if any element is not finite: use base64.',
        resolve: (value) => {
          const floats = numbersOf(value, 'float');
          return floats?.every(Number.isFinite) ? floats : null;
        },
      }),
      ints: t.intList({
        nullable: true,
        description: 'INT8, INT16, INT32, UINT8, UINT16.',
        resolve: (value) => numbersOf(value, 'int'),
      }),
      longs: t.stringList({
        nullable: true,
        description: 'UINT32, INT64, UINT64, as decimal strings.',
        resolve: (value) => (STORAGE[value.datatype].kind === 'long' ? elementsOf(value).map(String) : null),
      }),
      booleans: t.booleanList({
        nullable: true,
        description: 'BOOL.',
        resolve: (value) => (value.datatype === 'BOOL' ? elementsOf(value).map(Boolean) : null),
      }),
      strings: t.stringList({
        nullable: true,
        description: 'STRING.',
        resolve: (value) => (Array.isArray(value.data) ? value.data : null),
      }),
      base64: t.string({
        nullable: true,
        description: 'The bytes, little endian, row-major; null for STRING.',
        resolve: ({ data }, _args, { largeTexts }) => (Array.isArray(data) ? null : largeTexts.base64(data)),
      }),
    }),
  });

  const data = builder.inputType('TensorData', {
    description: 'The elements, row-major: a list that fits the datatype, or the bytes.',
    isOneOf: true,
    fields: (t) => ({
      floats: t.floatList({ description: 'FP16, FP32, FP64.' }),
      ints: t.intList({ description: 'Every integer datatype, as far as 32 bits signed go.' }),
      longs: t.stringList({ description: 'Every integer datatype, as decimal strings.' }),
      booleans: t.booleanList({ description: 'BOOL.' }),
      strings: t.stringList({ description: 'STRING.' }),
      base64: t.string({ description: 'The bytes, little endian: every datatype but STRING. The way to send NaN.' }),
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
  const tensorsInput = builder.inputType('TensorsInput', {
    description: 'The generic door: every model, by the tensors of its signature.',
    fields: (t) => ({
      model: t.string({ required: true }),
      inputs: t.field({ type: [tensorInput], required: true }),
    }),
  });
  return { spec, tensor, tensorsInput };
}

export type TensorTypes = ReturnType<typeof addTensorTypes>;

function numbersOf(tensor: Tensor, kind: 'float' | 'int'): number[] | null {
  return STORAGE[tensor.datatype].kind === kind ? elementsOf(tensor).map(Number) : null;
}
