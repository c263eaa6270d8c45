import { randomBytes } from 'node:crypto';
import { type ExecutionResult, GraphQLError, type GraphQLResolveInfo } from 'graphql';
import { InputError } from '../../../errors.ts';
import { isRecord } from '../../../models/input-issues.ts';
import type { Tensor } from '../../../tensor/tensor.ts';
import { base64Text, countOf, isFiniteTensor, listBytes, listText, type TextSource } from './list-text.ts';

/** Largest text of one answer, aliases included: any one form of a 64 MiB result fits. */
const ANSWER_BYTES_MAX = 384 * 1024 * 1024;

/** Largest text of an event that must be one string in memory. */
const EVENT_BYTES_MAX = 192 * 1024 * 1024;

/** Largest number of values that GraphQL completes one by one in an answer; each blocks the process for about 0.2 µs. */
const VALUES_MAX = 1_000_000;

/** A tensor of this many elements, or bytes of base64, is written while its client reads. */
const LARGE_ELEMENTS = 256;
const LARGE_BYTES = 64 * 1024;

/** A shorter answer is one string, even with large values in it. */
const PIECE_LENGTH = 64 * 1024;

/** Secret of this process, so that no output of a model can contain a mark. */
const NONCE = randomBytes(16).toString('hex');
const MARK = new RegExp(`"large ${NONCE} (\\d+)"`);

/** The JSON of an answer: a string, or pieces that are made on demand. */
export type AnswerJson = string | Iterable<string>;

/** An answer whose errors are as clients see them. */
type Shown = Pick<ExecutionResult, 'data'> & { errors?: readonly unknown[] };

interface Large {
  /** Where in the data a list is to stand; a text of base64 has put its mark there by itself. */
  path?: readonly (string | number)[];
  source: TextSource;
}

/**
 * Counts the values of one answer and keeps the large ones apart. GraphQL completes a list element by element, and `JSON.stringify` reads every character
 * of a string: eight million floats would block the process for seconds. So an empty list or a mark replaces a large tensor, whose text is made
 * piece by piece while the answer is written.
 */
export class AnswerText {
  #large: Large[] = [];
  #bytes = 0;
  #values = 0;
  #refusal: GraphQLError | undefined;
  #bytesMax = ANSWER_BYTES_MAX;

  /** For the events of a stream that are not written in pieces. */
  limitToEvents(): void {
    this.#bytesMax = EVENT_BYTES_MAX;
  }

  /** The base64 of these bytes, or a mark that replaces it. Throws INVALID_INPUT if the answer would be too long. */
  base64(bytes: Uint8Array, info: GraphQLResolveInfo): string {
    const source = base64Text(bytes);
    this.#countBytes(source.bytes, info);
    if (bytes.byteLength >= LARGE_BYTES) return `large ${NONCE} ${this.#large.push({ source }) - 1}`;
    return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64');
  }

  /**
   * The empty list that replaces a tensor's elements. `undefined` if they are few, or if JSON cannot express one of them: then GraphQL completes them.
   * Throws INVALID_INPUT if the answer would be too long.
   */
  list(tensor: Tensor, shape: readonly number[], info: GraphQLResolveInfo, labels?: readonly string[]): [] | undefined {
    const count = countOf(tensor);
    if (count < LARGE_ELEMENTS || !isFiniteTensor(tensor)) {
      this.#countBytes(listBytes(tensor), info);
      this.countValues(count, info);
      return undefined;
    }
    const source = listText(tensor, shape, labels);
    this.#countBytes(source.bytes, info);
    this.#large.push({ path: keysOf(info), source });
    return [];
  }

  /** Counts values that GraphQL completes. Throws INVALID_INPUT where they are too many. */
  countValues(values: number, info: GraphQLResolveInfo): void {
    this.#values += values;
    if (this.#values > VALUES_MAX) this.#refuse(`expected at most ${VALUES_MAX} values in one answer`, info);
  }

  /** Counts a text that is in the answer as it is. */
  countText(text: string, info: GraphQLResolveInfo): string {
    this.#countBytes(text.length, info);
    return text;
  }

  /** The JSON of an answer whose values these are. */
  json(answer: Shown): AnswerJson {
    const large = this.#large;
    this.#large = [];
    this.#bytes = 0;
    this.#values = 0;
    this.#refusal = undefined;
    if (large.length === 0) return JSON.stringify(answer);
    for (const [i, { path }] of large.entries()) {
      if (path) replace(answer.data, path, `large ${NONCE} ${i}`);
    }
    const pieces = gathered(piecesOf(JSON.stringify(answer), large));
    const { value: first = '', done } = pieces.next();
    const second = done ? undefined : pieces.next();
    if (!second || second.done) return first;
    return prepended([first, second.value], pieces);
  }

  #countBytes(bytes: number, info: GraphQLResolveInfo): void {
    this.#bytes += bytes;
    if (this.#bytes <= this.#bytesMax) return;
    this.#refuse(`expected at most ${this.#bytesMax} bytes of text in one answer`, info);
  }

  /** Every later value gets this same error, which has its path already: GraphQL would make tens of thousands of errors. */
  #refuse(expected: string, info: GraphQLResolveInfo): never {
    this.#refusal ??= tooMuch(expected, info);
    throw this.#refusal;
  }
}

function tooMuch(expected: string, info: GraphQLResolveInfo): GraphQLError {
  const path = keysOf(info);
  const field = path.filter((key) => typeof key === 'string');
  const message = `${expected}; ask for fewer tasks or fields at once, or for each tensor once, as base64`;
  const originalError = new InputError('INVALID_INPUT', [{ path: field, message }]);
  return new GraphQLError(originalError.message, { nodes: info.fieldNodes, path, originalError });
}

/** A result with each of its errors once. */
export function withDistinctErrors<T extends ExecutionResult>(result: T): T {
  return result.errors && result.errors.length > 1 ? { ...result, errors: [...new Set(result.errors)] } : result;
}

function keysOf({ path }: GraphQLResolveInfo): (string | number)[] {
  const keys: (string | number)[] = [];
  for (let at: typeof path | undefined = path; at; at = at.prev) keys.push(at.key);
  return keys.reverse();
}

/** Replaces the empty list by a mark; an error higher up may have removed the place. */
function replace(data: unknown, path: readonly (string | number)[], mark: string): void {
  const parents = path.slice(0, -1);
  const key = path.at(-1);
  let inner: unknown = data;
  for (const parent of parents) inner = isContainer(inner) ? Reflect.get(inner, parent) : undefined;
  if (key !== undefined && isContainer(inner) && Array.isArray(Reflect.get(inner, key))) Reflect.set(inner, key, mark);
}

function isContainer(value: unknown): value is object {
  return Array.isArray(value) || isRecord(value);
}

function* piecesOf(json: string, large: readonly Large[]): Generator<string> {
  // Split at the marks: every second part is the number of a mark.
  for (const [i, part] of json.split(MARK).entries()) {
    if (i % 2 === 0) yield part;
    else yield* large[Number(part)]?.source.pieces() ?? [];
  }
}

/** Pieces that are worth a write each. */
function* gathered(pieces: Iterable<string>): Generator<string, undefined> {
  let text = '';
  for (const piece of pieces) {
    text += piece;
    if (text.length < PIECE_LENGTH) continue;
    yield text;
    text = '';
  }
  yield text;
}

function* prepended(first: readonly string[], rest: Iterable<string>): Generator<string> {
  yield* first;
  yield* rest;
}
