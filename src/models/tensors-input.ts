import { shortened } from '../errors.ts';
import {
  type Datatype,
  describeShape,
  elementCount,
  fitsShape,
  STORAGE,
  type Tensor,
  type TensorSpec,
} from '../tensor/tensor.ts';
import { type Element, elementReader, pack } from '../tensor/tensor-values.ts';
import type { InputIssues, Path } from './input-issues.ts';
import type { Signature } from './served-model.ts';

/** Characters of a name that an error repeats. */
const NAME_LENGTH_MAX = 255;

/** `TensorInput` as GraphQL has coerced it. */
export interface TensorInput {
  name: string;
  datatype: Datatype;
  shape: number[];
  data: TensorData;
}

/** Exactly one of these is given: GraphQL's @oneOf. */
export interface TensorData {
  floats?: number[] | null;
  ints?: number[] | null;
  longs?: string[] | null;
  booleans?: boolean[] | null;
  strings?: string[] | null;
  base64?: string | null;
}

/** Which list may hold a datatype's elements: integers of any width may be written as numbers or as strings. */
const LISTS: Record<(typeof STORAGE)[Datatype]['kind'], readonly (keyof TensorData)[]> = {
  float: ['floats', 'base64'],
  int: ['ints', 'longs', 'base64'],
  long: ['longs', 'ints', 'base64'],
  boolean: ['booleans', 'base64'],
  string: ['strings'],
};

/** The tensors of the tensors API, in the signature's order. Faults go to `issues`; the tensors are then incomplete. */
export function readTensorsInput(
  signature: Signature,
  inputs: readonly TensorInput[],
  path: Path,
  issues: InputIssues,
): Tensor[] {
  const known = new Set(signature.inputs.map(({ name }) => name));
  const given = new Map<string, number>();
  for (const [i, { name }] of inputs.entries()) {
    if (!known.has(name)) {
      const expected = `expected one of ${[...known].join(', ')}`;
      issues.add([...path, i, 'name'], `the model has no input "${shortened(name, NAME_LENGTH_MAX)}"; ${expected}`);
    } else if (given.has(name)) issues.add([...path, i, 'name'], `"${name}" is given twice`);
    else given.set(name, i);
    // Each name is looked at, but not when there are a million wrong ones.
    if (issues.full) return [];
  }
  return signature.inputs.flatMap((spec) => {
    const i = given.get(spec.name) ?? -1;
    const input = inputs[i];
    if (input) return [readTensor(spec, input, [...path, i], issues)];
    issues.add(path, `expected an input "${spec.name}", ${spec.datatype} ${describeShape(spec.shape)}`);
    return [];
  });
}

function readTensor(spec: TensorSpec, input: TensorInput, path: Path, issues: InputIssues): Tensor {
  const { datatype, shape, data } = input;
  const tensor: Tensor = { name: spec.name, datatype: spec.datatype, shape, data: [] };
  if (datatype !== spec.datatype) {
    issues.add([...path, 'datatype'], `expected ${spec.datatype}, got ${datatype}`);
  } else if (shape.some((dimension) => dimension < 0) || !fitsShape(shape, spec.shape)) {
    issues.add([...path, 'shape'], `expected ${describeShape(spec.shape)}, got [${shape.join(', ')}]`);
  } else {
    tensor.data = readData(spec.datatype, elementCount(shape), data, [...path, 'data'], issues);
  }
  return tensor;
}

function readData(
  datatype: Datatype,
  count: number,
  data: TensorData,
  path: Path,
  issues: InputIssues,
): Tensor['data'] {
  const allowed = LISTS[STORAGE[datatype].kind];
  const list = allowed.find((key) => data[key] != null);
  const values = list && data[list];
  if (!list || values == null) {
    issues.add(path, `expected ${allowed.join(' or ')} for ${datatype}`);
    return [];
  }
  if (typeof values === 'string') return readBase64(datatype, count, values, [...path, list], issues);
  if (values.length !== count) {
    issues.add([...path, list], `expected ${count} elements for this shape, got ${values.length}`);
    return [];
  }
  const reader = elementReader(datatype);
  const elements: Element[] = [];
  for (const [i, value] of values.entries()) {
    const element = reader.read(value);
    if (element !== undefined) elements.push(element);
    else if (issues.full) break;
    else issues.add([...path, list, i], `expected ${reader.expected}`);
  }
  return issues.found ? [] : pack(datatype, elements);
}

/** Bytes are taken as they are: the one way to send NaN and infinities, which a model may well mean by "missing". */
function readBase64(datatype: Datatype, count: number, text: string, path: Path, issues: InputIssues): Tensor['data'] {
  const wanted = count * STORAGE[datatype].bytes;
  const unpadded = text.slice(0, text.endsWith('==') ? -2 : text.endsWith('=') ? -1 : undefined);
  // By its length first, so that what cannot be right is not decoded.
  const length = Math.floor((unpadded.length * 3) / 4);
  const bytes = Buffer.from(length === wanted ? unpadded : '', 'base64');
  if (length !== wanted) issues.add(path, `expected base64 of ${wanted} bytes for this shape, got ${length}`);
  else if (!isBase64Of(bytes, unpadded)) issues.add(path, 'expected base64');
  else if (datatype === 'BOOL' && bytes.some((byte) => byte > 1)) issues.add(path, 'expected bytes of value 0 or 1');
  return bytes;
}

/**
 * Whether a text is base64 and nothing else. Buffer skips what is not, and then has fewer bytes than the length of the text says; that,
 * and the last group written again, where a text may be a letter too long or have bits too many, spare
 * writing all of it again.
 */
function isBase64Of(bytes: Buffer, unpadded: string): boolean {
  const lastGroup = Math.floor(unpadded.length / 4);
  const tail = bytes
    .subarray(3 * lastGroup)
    .toString('base64')
    .replaceAll('=', '');
  const isWhole = bytes.length === Math.floor((unpadded.length * 3) / 4) && tail === unpadded.slice(4 * lastGroup);
  // Which Buffer takes for + and /.
  return isWhole && !unpadded.includes('-') && !unpadded.includes('_');
}
