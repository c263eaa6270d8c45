import { randomBytes } from 'node:crypto';
import type { ExecutionResult } from 'graphql';
import { isAsyncIterable, type Plugin } from 'graphql-yoga';

/** Shorter ones are not worth the detour. */
const LARGE_BYTES = 64 * 1024;

/** Nobody outside of this process has ever seen it: what a model says cannot hold a mark. */
const NONCE = randomBytes(16).toString('hex');
const MARK = new RegExp(`large ${NONCE} (\\d+)`, 'g');

interface WithLargeTexts {
  largeTexts: LargeTexts;
}

/**
 * Bytes whose base64 is to stand in an answer. `JSON.stringify` looks at every letter of a string, a tenth of a second for 32 MiB in
 * which nothing else happens; base64 has none that JSON would escape. So a mark stands in its place until the text is made.
 */
export class LargeTexts {
  #bytes: Buffer[] = [];

  /** The base64 of these bytes, or the mark that stands for it. */
  base64({ buffer, byteOffset, byteLength }: Uint8Array): string {
    const bytes = Buffer.from(buffer, byteOffset, byteLength);
    return byteLength < LARGE_BYTES ? bytes.toString('base64') : `large ${NONCE} ${this.#bytes.push(bytes) - 1}`;
  }

  /** The JSON of an answer whose marks are these. */
  stringify(answer: unknown): string {
    const bytes = this.#bytes;
    this.#bytes = [];
    const json = JSON.stringify(answer);
    return bytes.length === 0 ? json : json.replace(MARK, (_mark, i) => bytes[Number(i)]?.toString('base64') ?? '');
  }
}

/** A result that is written with what its marks stand for. */
export interface WrittenResult extends ExecutionResult {
  stringify?: (answer: unknown) => string;
}

export function withLargeTexts(result: ExecutionResult, largeTexts: LargeTexts): WrittenResult {
  return Object.assign(result, { stringify: (answer: unknown) => largeTexts.stringify(answer) });
}

/** Has Yoga write answers, and the events of a stream, so. */
export function useLargeTexts(): Plugin<WithLargeTexts> {
  const write = (result: ExecutionResult | AsyncIterable<unknown>, { largeTexts }: WithLargeTexts): void => {
    if (!isAsyncIterable(result)) withLargeTexts(result, largeTexts);
  };
  return {
    onExecute: ({ args }) => ({ onExecuteDone: ({ result }) => write(result, args.contextValue) }),
    onSubscribe: ({ args }) => ({
      onSubscribeResult: () => ({ onNext: ({ result }) => write(result, args.contextValue) }),
    }),
  };
}
