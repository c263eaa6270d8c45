import { type Tensor, viewAs } from '../tensor/tensor.ts';
import { elementsOf } from '../tensor/tensor-values.ts';
import type { TypedApi, TypedField } from './typed-api.ts';

type Value = unknown;

/** One output of a task as the typed API says it. */
export interface TypedOutput {
  field: TypedField;
  tensor: Tensor;
  /** Without the batch. */
  shape: readonly number[];
}

/** The outputs of one task as the typed API says them: `{ label: 'setosa', probabilities: { setosa: 0.98, … } }`. Each is read when it is asked for. */
export class TypedPrediction {
  readonly outputs: readonly TypedOutput[];
  readonly #values = new Map<TypedOutput, Value>();

  constructor(typedApi: TypedApi, batched: boolean, outputs: readonly Tensor[]) {
    this.outputs = typedApi.outputs.flatMap((field) => {
      const tensor = outputs.find(({ name }) => name === field.spec.name);
      // A worker stores a result only after it has checked that every output of the signature is there.
      return tensor ? [{ field, tensor, shape: batched ? tensor.shape.slice(1) : tensor.shape }] : [];
    });
  }

  output(name: string): TypedOutput | undefined {
    return this.outputs.find(({ field }) => field.name === name);
  }

  /** As lists in lists, the innermost as an object where its elements have names. */
  value(output: TypedOutput): Value {
    if (!this.#values.has(output)) this.#values.set(output, readOutput(output));
    return this.#values.get(output);
  }
}

/** Fields of a prediction that two apis do not say alike: by name, kind or rank. None: predictions of both look the same to a client. */
export function differingFields(a: TypedApi, b: TypedApi): string[] {
  if (a === b) return [];
  const [says, otherSays] = [saidBy(a), saidBy(b)];
  return [...new Set([...says.keys(), ...otherSays.keys()])].filter((name) => says.get(name) !== otherSays.get(name));
}

/** Asked for each prediction that is read. */
const said = new WeakMap<TypedApi, ReadonlyMap<string, string>>();

function saidBy(typedApi: TypedApi): ReadonlyMap<string, string> {
  const known = said.get(typedApi);
  if (known) return known;
  const [sole] = typedApi.outputs;
  const says =
    typedApi.flatOutput && sole?.elements
      ? new Map(sole.elements.map((name) => [name, JSON.stringify([sole.kind, 0])]))
      : new Map(
          typedApi.outputs.map(({ name, kind, shape, elements }) => [
            name,
            JSON.stringify([kind, shape?.length, elements?.toSorted()]),
          ]),
        );
  said.set(typedApi, says);
  return says;
}

function readOutput({ field, tensor, shape }: TypedOutput): Value {
  if (field.shape === null) return tensor;
  const elements = field.labels ? labelled(tensor, field.labels) : elementsOf(tensor);
  const leaves = field.kind === 'string' ? elements.map(String) : elements;
  return nest(leaves, shape, field.elements);
}

/** `INT64 [1]` → the label at that index. */
function labelled(tensor: Tensor, labels: readonly string[]): string[] {
  if (tensor.datatype === 'STRING' || Array.isArray(tensor.data)) return [];
  const indices: ArrayLike<number | bigint> = viewAs(tensor.datatype, tensor.data);
  return Array.from(indices, (index) => labels[Number(index)] ?? String(index));
}

/** A flat list as nested lists, row-major; with names, the last dimension as an object. */
function nest(elements: readonly Value[], shape: readonly number[], names?: readonly string[]): Value {
  const [length = 0, ...inner] = shape;
  if (shape.length === 0) return elements[0];
  if (shape.length === 1) return names ? Object.fromEntries(names.map((name, i) => [name, elements[i]])) : elements;
  const stride = elements.length / length;
  return Array.from({ length }, (_, i) => nest(elements.slice(i * stride, (i + 1) * stride), inner, names));
}
