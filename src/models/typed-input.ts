import type { Tensor } from '../tensor/tensor.ts';
import { type Element, elementReader, pack } from '../tensor/tensor-values.ts';
import { FileTensor } from './file-inputs.ts';
import { type InputIssues, isRecord, kindOf, type Path } from './input-issues.ts';
import type { TypedApi, TypedField } from './typed-api.ts';

/**
 * The tensors of one typed input: a row of the batch, or the whole of an unbatched model's input. Everything is checked
 * here, names, shapes and elements; that GraphQL has coerced the value before is not relied on, since a version that the
 * client pins may have another signature than the schema shows. Faults go to `issues`; the tensors are then incomplete.
 */
export function readTypedInput(
  typedApi: TypedApi,
  batched: boolean,
  input: unknown,
  path: Path,
  issues: InputIssues,
): Tensor[] {
  const [sole] = typedApi.inputs;
  if (typedApi.flatInput && sole) return [readField(sole, batched, input, path, issues)];
  const known = typedApi.inputs.flatMap(({ name, file }) => (file ? [name, file.name] : [name]));
  const record = readObject(input, known, path, issues);
  return typedApi.inputs.map((field) => {
    const { name, file } = field;
    if (!file) return readField(field, batched, record[name], [...path, name], issues);
    const given = [name, file.name].filter((key) => record[key] != null);
    if (given.length !== 1) issues.add(path, `expected exactly one of ${name}, ${file.name}, got ${given.length}`);
    else if (given[0] === name) return readField(field, batched, record[name], [...path, name], issues);
    return readFile(field, batched, record[file.name], [...path, file.name], issues);
  });
}

/** Names that are found sooner by looking at each. */
const FEW = 16;

/** An object with exactly these keys; what else it has is a fault each. What it lacks is left to the reader of each value. */
function readObject(value: unknown, known: string[], path: Path, issues: InputIssues): Record<string, unknown> {
  if (!isRecord(value)) {
    issues.add(path, `expected an object with ${known.join(', ')}, got ${kindOf(value)}`);
    // The one sentence above says it all: no further fault for each missing key.
    return {};
  }
  const names = known.length > FEW ? new Set(known) : undefined;
  for (const key in value) {
    if (names ? names.has(key) : known.includes(key)) continue;
    issues.add([...path, key], `unknown field; expected one of ${known.join(', ')}`);
    if (issues.full) break;
  }
  return value;
}

function readField(field: TypedField, batched: boolean, value: unknown, path: Path, issues: InputIssues): Tensor {
  const { shape, elements } = new FieldReader(field, [...path], issues).read(value);
  return {
    name: field.spec.name,
    datatype: field.spec.datatype,
    shape: batched ? [1, ...shape] : shape,
    data: issues.found ? [] : pack(field.spec.datatype, elements),
  };
}

/** What `readFileInputs` has made of a file. */
function readFile({ spec }: TypedField, batched: boolean, value: unknown, path: Path, issues: InputIssues): Tensor {
  const tensor = value instanceof FileTensor ? value : undefined;
  if (!tensor && !issues.found) issues.add(path, `expected a file, got ${kindOf(value)}`);
  const { shape = [], data = [] } = tensor ?? {};
  return { name: spec.name, datatype: spec.datatype, shape: batched ? [1, ...shape] : shape, data };
}

/** Walks nested lists down to the elements; the path is one stack, copied only where there is a fault to name. */
class FieldReader {
  readonly #field: TypedField;
  readonly #wanted: (number | null)[];
  readonly #reader: ReturnType<typeof elementReader>;
  readonly #path: Path;
  readonly #issues: InputIssues;
  readonly #shape: number[] = [];
  readonly #elements: Element[] = [];

  constructor(field: TypedField, path: Path, issues: InputIssues) {
    this.#field = field;
    this.#wanted = field.shape ?? [];
    this.#reader = elementReader(field.spec.datatype);
    this.#path = path;
    this.#issues = issues;
  }

  read(value: unknown): { shape: number[]; elements: Element[] } {
    this.#readDimension(value, 0);
    // A list with no rows leaves its inner dimensions unseen: they are what the model says, or none.
    const shape = this.#wanted.map((dimension, i) => this.#shape[i] ?? dimension ?? 0);
    return { shape, elements: this.#elements };
  }

  #readDimension(value: unknown, depth: number): void {
    const { elements: names } = this.#field;
    if (depth === this.#wanted.length) this.#readElement(value);
    else if (names && depth === this.#wanted.length - 1) this.#readNamed(value, names, depth);
    else this.#readList(value, depth);
  }

  #readList(value: unknown, depth: number): void {
    const wanted = this.#wanted[depth];
    const length = wanted ?? this.#shape[depth];
    if (!Array.isArray(value)) {
      this.#fault(length === undefined ? 'a list' : `a list of ${length}`, value);
    } else if (length !== undefined && value.length !== length) {
      this.#fault(`a list of ${length}${wanted == null ? ' like the rows before it' : ''}`, value);
    } else {
      this.#shape[depth] = value.length;
      for (const [i, item] of value.entries()) {
        if (this.#issues.full) return;
        this.#within(i, () => this.#readDimension(item, depth + 1));
      }
    }
  }

  #readNamed(value: unknown, names: string[], depth: number): void {
    this.#shape[depth] = names.length;
    const record = readObject(value, names, this.#path, this.#issues);
    if (!isRecord(value)) return;
    for (const name of names) this.#within(name, () => this.#readElement(record[name]));
  }

  #readElement(value: unknown): void {
    const element = this.#reader.read(value);
    if (element === undefined) this.#fault(this.#reader.expected, value);
    else this.#elements.push(element);
  }

  #within(key: string | number, read: () => void): void {
    this.#path.push(key);
    read();
    this.#path.pop();
  }

  #fault(expected: string, value: unknown): void {
    this.#issues.add(this.#path, `expected ${expected}, got ${kindOf(value)}`);
  }
}
