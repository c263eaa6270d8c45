import type { InputRef, InputTypeParam, ListRef, ObjectRef, OutputRef } from '@pothos/core';
import type { GraphQLResolveInfo } from 'graphql';
import { GraphQLNames, graphqlNames } from '../../../models/graphql-name.ts';
import { isRecord } from '../../../models/input-issues.ts';
import type { TypedPrediction } from '../../../models/prediction.ts';
import type { ServedModel } from '../../../models/served-model.ts';
import { LABEL, type TypedApi, type TypedField } from '../../../models/typed-api.ts';
import type { ElementKind, Tensor } from '../../../tensor/tensor.ts';
import type { AnswerText } from './answer-text.ts';
import type { Builder } from './builder.ts';
import { countOf } from './list-text.ts';
import { fieldsBelow } from './selection-fold.ts';
import type { ShownModel } from './shown-models.ts';
import type { TensorTypes } from './tensor-types.ts';

type Types = Builder extends PothosSchemaTypes.SchemaBuilder<infer T> ? T : never;
type Values = Record<string, unknown>;
/** Any type: the signature determines it at run time, so the compiler does not know it. */
type AnyOutput = OutputRef<unknown> | ListRef<Types, unknown> | (typeof SCALARS)[ElementKind];

/** A value of the `Prediction` union: its type, and the data of that type's fields. */
export interface PredictionValue {
  typename: string;
  /** `undefined` for a `TensorsPrediction`. */
  typed: TypedPrediction | undefined;
  outputs: readonly Tensor[];
}

/** The typed API of one model, in the schema. */
export interface ModelTypes extends ShownModel {
  /** Its field of `PredictionInput`. */
  field: string;
  input: InputRef<Values>;
  prediction: ObjectRef<Types, PredictionValue>;
  /** The name of `prediction`. */
  typename: string;
}

/** Names the schema has of its own; a model called `prediction` must not claim `PredictionInput`. */
const RESERVED_TYPES = [
  ...[
    'Query',
    'Mutation',
    'Subscription',
    'DateTime',
    'Image',
    'Long',
    'String',
    'Int',
    'Float',
    'Boolean',
    'ID',
    'Prediction',
  ],
  ...['PredictionInput', 'SubmitOptions', 'Priority', 'Task', 'TaskState', 'TaskError', 'Model'],
  ...['Tensor', 'TensorSpec', 'TensorInput', 'TensorData', 'TensorDatatype', 'TensorsInput', 'TensorsPrediction'],
];

const SCALARS = {
  float: 'Float',
  int: 'Int',
  long: 'String',
  boolean: 'Boolean',
  string: 'String',
} as const satisfies Record<ElementKind, string>;

/** An input may also be a number; an output is a string, so that no client loses a digit. */
const INPUT_SCALARS = { ...SCALARS, long: 'Long' } as const;

/** Input and prediction types for each model that is shown. */
export function addModelTypes(builder: Builder, shown: readonly ShownModel[], tensors: TensorTypes): ModelTypes[] {
  const fields = graphqlNames(
    shown.map(({ model }) => model.name),
    ['tensors'],
  );
  const names = new GraphQLNames(RESERVED_TYPES);
  return shown.flatMap(({ model, typedApi, isServed }) => {
    const field = fields.get(model.name);
    if (field === undefined) return [];
    const claim = (suffix: string) => names.claim(`${model.name}/${suffix}`, capitalise(field) + suffix);
    const input = addInput(builder, claim, model, typedApi);
    const typename = claim('Prediction');
    const prediction = addPrediction(builder, typename, claim, model, typedApi, tensors);
    return [{ model, typedApi, isServed, field, input, prediction, typename }];
  });
}

type Claim = (suffix: string) => string;

function addInput(builder: Builder, claim: Claim, model: ServedModel, typedApi: TypedApi): InputRef<Values> {
  const name = claim('Input');
  const [sole] = typedApi.inputs;
  if (typedApi.flatInput && sole) return addElementsInput(builder, name, sole, model.description);
  const rows = typedApi.inputs.map((field) => {
    const element = field.elements && addElementsInput(builder, claim(`${capitalise(field.name)}Input`), field);
    return { field, element };
  });
  // Of several tensors each has its own two ways, and of these the reader wants one.
  const isOneOf = sole?.file !== undefined && typedApi.inputs.length === 1;
  return builder.inputType(name, {
    ...(model.description !== undefined && { description: model.description }),
    isOneOf,
    fields: (t) => {
      const typeOf = ({ field, element }: (typeof rows)[number]) => {
        let type: InputTypeParam<Types> = element ?? INPUT_SCALARS[field.kind];
        for (let depth = listDepth(field); depth > 0; depth--) type = t.listRef(type);
        return t.field({ type, required: !field.file, description: describe(field) });
      };
      const files = rows.flatMap(({ field: { name, file } }) => {
        if (!file) return [];
        return [[file.name, t.field({ type: file.reader.kind, description: `Instead of ${name}.` })]] as const;
      });
      return Object.fromEntries([...rows.map((row) => [row.field.name, typeOf(row)] as const), ...files]);
    },
  });
}

function addElementsInput(builder: Builder, name: string, field: TypedField, description?: string): InputRef<Values> {
  return builder.inputType(name, {
    ...(description !== undefined && { description }),
    fields: (t) =>
      Object.fromEntries(
        (field.elements ?? []).map((element) => [
          element,
          t.field({ type: INPUT_SCALARS[field.kind], required: true }),
        ]),
      ),
  });
}

function addPrediction(
  builder: Builder,
  name: string,
  claim: Claim,
  model: ServedModel,
  typedApi: TypedApi,
  tensors: TensorTypes,
) {
  const ref = builder.objectRef<PredictionValue>(name);
  const [sole] = typedApi.outputs;
  const description = `What model "${model.name}" predicts.`;
  if (typedApi.flatOutput && sole) {
    return ref.implement({ description, fields: (t) => elementFields(t, sole, flatValues) });
  }
  const rows = typedApi.outputs.map((field) => ({
    field,
    element: field.elements && addElements(builder, claim(capitalise(field.name)), field),
  }));
  return ref.implement({
    description,
    fields: (t) => {
      const typeOf = ({ field, element }: (typeof rows)[number]) => {
        let type: AnyOutput = field.shape === null ? tensors.tensor : (element ?? scalarOf(field));
        for (let depth = listDepth(field); depth > 0; depth--) type = t.listRef(type);
        return t.field({
          type,
          description: describe(field),
          resolve: ({ typed }, _args, { answer }, info) => outputOf(typed, field.name, answer, info),
        });
      };
      return Object.fromEntries(rows.map((row) => [row.field.name, typeOf(row)]));
    },
  });
}

/** A sole output's elements, which are the prediction's own fields. */
function flatValues({ typed }: PredictionValue): Values {
  const [sole] = typed?.outputs ?? [];
  const value = sole && typed?.value(sole);
  return isRecord(value) ? value : {};
}

function outputOf(
  typed: TypedPrediction | undefined,
  name: string,
  answer: AnswerText,
  info: GraphQLResolveInfo,
): unknown {
  const output = typed?.output(name);
  if (!typed || !output) return undefined;
  const { field, tensor, shape } = output;
  if (field.shape === null || shape.length === 0) return typed.value(output);
  if (field.elements) {
    const rows = countOf(tensor) / field.elements.length;
    answer.countValues(rows * Math.max(fieldsBelow(info), field.elements.length), info);
  } else {
    // A number that is named a label is written as text.
    const labels = field.labels ?? (field.kind === 'string' && tensor.datatype !== 'STRING' ? [] : undefined);
    const list = answer.list(tensor, shape, info, labels);
    if (list) return list;
  }
  return typed.value(output);
}

function addElements(builder: Builder, name: string, field: TypedField) {
  return builder.objectRef<Values>(name).implement({ fields: (t) => elementFields(t, field, (values) => values) });
}

/** A field for each named element of a tensor's last dimension. */
function elementFields<P>(
  t: PothosSchemaTypes.ObjectFieldBuilder<Types, P>,
  field: TypedField,
  valuesOf: (parent: P) => Values,
) {
  const entries = (field.elements ?? []).map((element) => [
    element,
    t.field({ type: element === LABEL ? 'String' : scalarOf(field), resolve: (parent) => valuesOf(parent)[element] }),
  ]);
  return Object.fromEntries(entries);
}

function scalarOf(field: TypedField): AnyOutput {
  return SCALARS[field.kind];
}

/** Lists around the element: one per dimension, without the dimension of named elements. */
function listDepth({ shape, elements }: TypedField): number {
  return (shape?.length ?? 0) - (elements ? 1 : 0);
}

function describe({ spec, shape, labels }: TypedField): string {
  const rows = shape && shape.length > 0 ? ` [${shape.map((dimension) => dimension ?? '?').join(', ')}]` : '';
  const one = labels ? `; one of ${labels.slice(0, 12).join(', ')}${labels.length > 12 ? ', …' : ''}` : '';
  return `${spec.name}: ${spec.datatype}${rows}${one}`;
}

function capitalise(name: string): string {
  return name.charAt(0).toUpperCase() + name.slice(1);
}
