import SchemaBuilder from '@pothos/core';
import { UploadedFile } from '../../../media/media.ts';
import type { ModelRegistry } from '../../../registry/registry.ts';
import { toBigInt } from '../../../tensor/tensor-values.ts';
import type { Predictions } from '../../predictions/predictions.ts';
import type { AnswerText } from './answer-text.ts';

/** The context of every resolver. */
export interface GraphQLContext {
  /** The owner whose tasks this operation may see. */
  owner: string;
  predictions: Predictions;
  registry: ModelRegistry;
  /** A signal that aborts when the client disconnects or has the whole answer; created on first use. */
  gone: () => AbortSignal;
  /** Aborts when the server closes. */
  closing: AbortSignal;
  /**
   * Counts the bytes of results, tensors, unpacked files and everything else that the request holds, and of the current event of a stream.
   * Throws if they are too many.
   */
  load: Record<'hold' | 'holdTensor' | 'unpack', (bytes: number, path: (string | number)[]) => void> &
    Record<'take' | 'holdEvent', (bytes: number) => void> & {
      /** The owner whose share of each bound it uses. */
      readonly owner: string;
      /** Waits for this owner's turn to hold the event loop for so much; what follows without waiting again is the turn. */
      turn(bytes: number): Promise<void> | undefined;
      /** The same for a further step of the work on a large request; `undefined` where it is none. */
      step(): Promise<void> | undefined;
    };
  /** The client's span, as W3C Trace Context writes it. */
  traceparent: string | undefined;
  /** Ids and predictions that this operation may still name, over all its fields. */
  budget: { left: number };
  /** Counts the text of the answer and keeps its large values. */
  answer: AnswerText;
}

/** A fresh builder: the schema is a function of the models, built again when they change, so nothing of it is global. */
export function createBuilder() {
  const builder = new SchemaBuilder<{
    Context: GraphQLContext;
    DefaultFieldNullability: false;
    Scalars: {
      DateTime: { Input: number; Output: number };
      Image: { Input: unknown; Output: never };
      Long: { Input: number | string; Output: never };
    };
  }>({ defaultFieldNullability: false });

  builder.scalarType('DateTime', {
    description: 'A time in UTC, as RFC 3339 writes it: 2026-01-31T12:00:00.000Z.',
    serialize: (at) => new Date(at).toISOString(),
    parseValue: (value) => {
      const at = typeof value === 'string' ? Date.parse(value) : Number.NaN;
      if (Number.isNaN(at)) throw new TypeError('DateTime: expected a string as RFC 3339 writes it');
      return at;
    },
  });
  builder.scalarType('Long', {
    description: 'An integer of more than 32 bits, as an input: a number up to 2⁵³, or a decimal string.',
    serialize: (value) => value,
    // The reader of the input checks the number of bits.
    parseValue: (value) => {
      if (toBigInt(value) !== undefined) return value as number | string;
      throw new TypeError('expected a Long: an integer up to 2⁵³ as a number, or any as a decimal string');
    },
  });
  builder.scalarType('Image', {
    description:
      'A picture, JPEG, PNG, WebP or GIF: a data URL, data:image/png;base64,…, or a file of a multipart request.',
    serialize: (value) => value,
    // It is decoded later, with the model's options and a path for errors.
    parseValue: (value) => {
      if (typeof value === 'string' || value instanceof UploadedFile) return value;
      throw new TypeError('expected an Image: a data URL or a file of a multipart request');
    },
  });
  return builder;
}

export type Builder = ReturnType<typeof createBuilder>;
