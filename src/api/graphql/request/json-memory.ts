import { isAscii } from 'node:buffer';
import { GraphQLError } from 'graphql';

/** Estimated bytes of memory that one request's JSON may take once it is parsed: a tensor of 32 MB fits in any form. */
export const REQUEST_MEMORY_BYTES_MAX = 256 * 1024 * 1024;
/** Lists and objects within each other. No input of a model comes near it. */
const DEPTH_MAX = 500;
/** Keys of one object: each that is unknown would be looked at, and V8 takes a second for a million. */
const KEYS_MAX = 10_000;
/** A shorter text takes less than a megabyte, whatever is in it. */
const SMALL_BYTES = 4 * 1024;

/** What values take, about, in V8 and in what GraphQL makes of them. */
const CONTAINER_BYTES = 128;
const SCALAR_BYTES = 16;
const STRING_BYTES = 32;

/** Counts memory in before it is taken; throws where there is no room. */
type Take = (bytes: number) => void;

/**
 * Counts what a JSON text is about to take, before it is parsed. Throws a `GraphQLError` with status 413 where one request may not take so
 * much, and what `take` throws.
 */
export function countJson(text: Uint8Array, take: Take): void {
  if (text.length >= SMALL_BYTES) take(memoryOfJson(text, REQUEST_MEMORY_BYTES_MAX));
}

/**
 * The bytes that a JSON text takes once it is parsed: 128 for an object or list, 32 and its length for a key or string, 16 for any
 * other value. One pass over the bytes, which stops at the bound; text that is no JSON is counted as far as it looks like some.
 */
export function memoryOfJson(text: Uint8Array, bytesMax: number): number {
  // A string with a single letter beyond Latin-1 takes two bytes for each letter.
  const stringFactor = isAscii(text) ? 1 : 2;
  const nesting = new Nesting();
  let bytes = 0;
  for (let i = 0; i < text.length; ) {
    const kind = KINDS[text[i] ?? 0];
    if (kind === SCALAR) {
      bytes += SCALAR_BYTES;
      i = endOfScalar(text, i + 1);
    } else if (kind === STRING) {
      const end = endOfString(text, i + 1);
      bytes += STRING_BYTES + (end - i - 1) * stringFactor;
      i = end + 1;
    } else {
      if (kind === OPENS) bytes += CONTAINER_BYTES;
      if (kind !== SEPARATES) nesting.pass(kind);
      i += 1;
    }
    if (bytes > bytesMax) throw tooMuch(bytesMax);
  }
  return bytes;
}

const SEPARATES = 0;
const SCALAR = 1;
const STRING = 2;
const OPENS = 3;
const CLOSES = 4;
const ASSIGNS = 5;
const QUOTE = 0x22;
const COMMA = 0x2c;
const BACKSLASH = 0x5c;

/** What a byte is outside of strings; whatever JSON does not know is taken for a part of a number. */
const KINDS = new Uint8Array(256).fill(SCALAR);
for (const [kind, letters] of [
  [SEPARATES, ' \t\n\r,'],
  [ASSIGNS, ':'],
  [STRING, '"'],
  [OPENS, '{['],
  [CLOSES, '}]'],
] as const) {
  for (const letter of letters) KINDS[letter.charCodeAt(0)] = kind;
}

/** The lists and objects that a place in a text is within, and the keys that each of them has so far. */
class Nesting {
  #depth = 0;
  readonly #keys = new Uint32Array(DEPTH_MAX + 1);

  /** Throws where there are too many levels, or keys. */
  pass(kind: number | undefined): void {
    if (kind === OPENS) {
      this.#depth += 1;
      if (this.#depth > DEPTH_MAX) throw refusal(400, `expected at most ${DEPTH_MAX} levels of lists and objects`);
      this.#keys[this.#depth] = 0;
    } else if (kind === CLOSES) {
      // Of text that is no JSON there may be more than were opened.
      this.#depth = Math.max(0, this.#depth - 1);
    } else {
      const count = (this.#keys[this.#depth] ?? 0) + 1;
      this.#keys[this.#depth] = count;
      if (count > KEYS_MAX) throw refusal(400, `expected at most ${KEYS_MAX} keys in an object`);
    }
  }
}

function endOfScalar(text: Uint8Array, start: number): number {
  let i = start;
  while (KINDS[text[i] ?? COMMA] === SCALAR) i += 1;
  return i;
}

/** Bytes of a string that are looked at one by one, before and after each escape; the rest is searched natively. */
const NEAR_BYTES = 64;

/** Where the quote is that ends a string; the end of the text where there is none. */
function endOfString(text: Uint8Array, start: number): number {
  let i = start;
  while (i < text.length) {
    for (const near = i + NEAR_BYTES; i < near; i += 1) {
      const byte = text[i];
      if (byte === QUOTE || byte === undefined) return Math.min(i, text.length);
      if (byte === BACKSLASH) i += 1;
    }
    const quote = text.indexOf(QUOTE, i);
    if (quote < 0) return text.length;
    if (!isEscaped(text, quote, i)) return quote;
    i = quote + 1;
  }
  return text.length;
}

/** Whether there is an odd number of backslashes before a quote, as far back as `start`. */
function isEscaped(text: Uint8Array, quote: number, start: number): boolean {
  let escapes = quote;
  while (escapes > start && text[escapes - 1] === BACKSLASH) escapes -= 1;
  return (quote - escapes) % 2 === 1;
}

function tooMuch(bytesMax: number): GraphQLError {
  const counted = `${CONTAINER_BYTES} for a list or object, ${STRING_BYTES} and its length for a string, ${SCALAR_BYTES} for a number`;
  const message = `expected a request that takes at most ${bytesMax} bytes of memory once it is parsed (${counted})`;
  return refusal(413, `${message}; send large tensors as base64, or fewer inputs at once`);
}

function refusal(status: number, message: string): GraphQLError {
  return new GraphQLError(message, { extensions: { code: 'BAD_USER_INPUT', http: { status } } });
}
