import SchemaBuilder from '@pothos/core';
import { UploadedFile } from '../../../media/media.ts';
import type { ModelRegistry } from '../../../registry/registry.ts';
import { toBigInt } from '../../../tensor/tensor-values.ts';
import type { Predictions } from '../../predictions/predictions.ts';
import type { AnswerText } from './answer-text.ts';

/** What every resolver is given. */
export interface GraphQLContext {
  /** Whose tasks this operation may see. */
  owner: string;
  predictions: Predictions;
  registry: ModelRegistry;
  /** A signal that aborts when whoever asked is gone, or has the whole answer; made by the first who asks for it. */
  gone: () => AbortSignal;
  /** Aborts when the server closes. */
  closing: AbortSignal;
  /**
   * Counts the bytes of results that the answer is to hold, of tensors, of files unpacked, of what else the request takes, and of the event that a
   * stream is at; throws where they are too many.
   */
  load: Record<'hold' | 'holdTensor' | 'unpack', (bytes: number, path: (string | number)[]) => void> &
    Record<'take' | 'holdEvent', (bytes: number) => void> & {
      /** Whose share of each bound it is. */
      readonly owner: string;
      /** Waits for this owner's turn to hold the event loop for so much; what follows without waiting again is the turn. */
      turn(bytes: number): Promise<void> | undefined;
      /** The same for a further step of the work on a large request; `undefined` where it is none. */
      step(): Promise<void> | undefined;
    };
  /** What the client calls its own span, as W3C Trace Context writes it. */
  traceparent: string | undefined;
  /** Ids and predictions that this operation may still name, over all its fields. */
  budget: { left: number };
  /** What the answer takes as text, and what is large in it. */
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
    // How many bits it may have is for the reader of the input to say.
    parseValue: (value) => {
      if (toBigInt(value) !== undefined) return value as number | string;
      throw new TypeError('expected a Long: an integer up to 2⁵³ as a number, or any as a decimal string');
    },
  });
  builder.scalarType('Image', {
    description:
      'A picture, JPEG, PNG, WebP or GIF: a data URL, data:image/png;base64,…, or a file of a multipart request.',
    serialize: (value) => value,
    // What is in it is read with the model's own options, where there is a path to say what is wrong.
    parseValue: (value) => {
      if (typeof value === 'string' || value instanceof UploadedFile) return value;
      throw new TypeError('expected an Image: a data URL or a file of a multipart request');
    },
  });
  return builder;
}

export type Builder = ReturnType<typeof createBuilder>;
