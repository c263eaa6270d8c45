import { mediaReader } from '../media/kinds.ts';
import type { MediaReader } from '../media/media.ts';
import { type ElementKind, STORAGE, type TensorSpec } from '../tensor/tensor.ts';
import { GraphQLNames, graphqlNames } from './graphql-name.ts';
import type { ServedModel, TensorNames } from './served-model.ts';

/** One tensor as the typed API shows it. */
export interface TypedField {
  /** Its name in GraphQL. */
  name: string;
  spec: TensorSpec;
  /** Without the batch dimension: a typed input is one row. `null` where the rank is unknown. */
  shape: TensorSpec['shape'];
  kind: ElementKind;
  /** GraphQL names of the last dimension's elements, in order: an object stands for that dimension. */
  elements?: string[];
  /** Strings for the integers 0, 1, … */
  labels?: string[];
  /** The field that takes a file instead, and what reads it. */
  file?: { name: string; reader: MediaReader };
}

/** How a model's tensors are said in GraphQL: fields with the model's own names, one row at a time. */
export interface TypedApi {
  inputs: TypedField[];
  outputs: TypedField[];
  /** The sole input is one row of named elements: they are the input's fields themselves, without a level for the tensor. */
  flatInput: boolean;
  flatOutput: boolean;
}

/** A string in the prediction of every model, so that fragments on several models can stand in one selection. */
export const LABEL = 'label';

const apis = new WeakMap<ServedModel, TypedApi | null>();

/** The typed API of a model; `undefined` where GraphQL cannot say its inputs (none, or one of unknown rank). */
export function typedApiOf(model: ServedModel): TypedApi | undefined {
  let typedApi = apis.get(model);
  if (typedApi === undefined) {
    typedApi = buildTypedApi(model) ?? null;
    apis.set(model, typedApi);
  }
  return typedApi ?? undefined;
}

function buildTypedApi({ signature, names }: ServedModel): TypedApi | undefined {
  const inputs = withFiles(fieldsOf(signature.inputs, names.inputs, signature.batched, 'inputs'), names.inputs);
  const outputs = fieldsOf(signature.outputs, names.outputs, signature.batched, 'outputs');
  if (inputs.length === 0 || inputs.some(({ shape }) => shape === null)) return undefined;
  return { inputs, outputs, flatInput: isFlat(inputs), flatOutput: isFlat(outputs) };
}

/** Beside the field of each tensor that is read from a file, a field for the file. */
function withFiles(fields: TypedField[], names: ServedModel['names']['inputs']): TypedField[] {
  const taken = new GraphQLNames(fields.map(({ name }) => name));
  return fields.map((field) => {
    const reader = mediaReader(names[field.spec.name] ?? {}, { shape: field.shape, datatype: field.spec.datatype });
    // A worker registers only what fits; what comes from elsewhere is read as numbers alone.
    if (!reader || Array.isArray(reader) || field.elements) return field;
    const { kind } = reader;
    const wanted = fields.length === 1 ? kind.toLowerCase() : field.name + kind;
    // A sole tensor that is called `image` itself.
    const other = wanted === field.name ? `${wanted}File` : wanted;
    return { ...field, file: { name: taken.claim(`${field.spec.name}/${kind}`, other), reader } };
  });
}

function isFlat(fields: TypedField[]): boolean {
  const [sole] = fields;
  return fields.length === 1 && sole?.elements !== undefined && sole.shape?.length === 1;
}

function fieldsOf(
  specs: TensorSpec[],
  names: Record<string, TensorNames>,
  batched: boolean,
  side: 'inputs' | 'outputs',
): TypedField[] {
  const graphqlNameOf = graphqlNames(specs.map(({ name }) => name));
  return specs.map((spec): TypedField => {
    const { fields, labels } = names[spec.name] ?? {};
    const name = graphqlNameOf.get(spec.name) ?? spec.name;
    const elementNameOf = graphqlNames(fields ?? []);
    return {
      name,
      spec,
      shape: batched ? (spec.shape?.slice(1) ?? null) : spec.shape,
      kind: labels || (side === 'outputs' && name === LABEL) ? 'string' : STORAGE[spec.datatype].kind,
      ...(fields && { elements: fields.map((field) => elementNameOf.get(field) ?? field) }),
      ...(labels && { labels }),
    };
  });
}
