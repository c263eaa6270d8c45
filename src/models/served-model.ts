import { createHash } from 'node:crypto';
import { z } from 'zod';
import { type MediaOptions, registeredMediaOptions } from '../media/kinds.ts';
import { DATATYPES, type TensorSpec } from '../tensor/tensor.ts';
import { type EqualSizes, equalSizesSchema } from './equal-sizes.ts';
import { type SizeBound, sizeBoundSchema } from './size-bounds.ts';

/** What an ONNX file takes and gives, as its inference process read it. */
export interface Signature {
  inputs: TensorSpec[];
  outputs: TensorSpec[];
  /**
   * Whether dimension 0 of every input and output is the batch, which the typed API leaves out. Whether tasks share a run as well is
   * a finding, and no part of the registration: see `sharingOf`.
   */
  batched: boolean;
  /** Where loading showed that the model fails on sizes that differ; absent where it showed none. */
  equalSizes?: EqualSizes[] | undefined;
  /** What the manifest says of sizes that may vary; absent where it says nothing. */
  maxSizes?: SizeBound[] | undefined;
}

/** How people say what is in a tensor. */
export interface TensorNames extends MediaOptions {
  /** Names of the elements of the last dimension: the tensor becomes an object with these fields. */
  fields?: string[] | undefined;
  /** Strings for the integers 0, 1, …: the tensor becomes strings. */
  labels?: string[] | undefined;
}

/** One version of a model as a worker registers it: all that the API needs to type, check and read its predictions. */
export interface ServedModel {
  name: string;
  version: string;
  description?: string | undefined;
  /** SHA-256 of the model file, in hexadecimal. */
  digest: string;
  /** The same over the files that lie beside it, weights for example; absent where there are none. */
  besides?: string | undefined;
  signature: Signature;
  /** How people say what is in the tensors, by tensor name. */
  names: { inputs: Record<string, TensorNames>; outputs: Record<string, TensorNames> };
  /** The most tasks that share a run, where the finding lets them; 1 where `signature.batched` is false. */
  maxBatch: number;
  /** Where the finding is kept on which sharing depends; absent: what `signature.batched` says holds. */
  sharingKey?: string | undefined;
  /** Why dimension 0 is no batch, in a sentence, where `signature.batched` is false. */
  unbatched?: string | undefined;
  /** The most tasks that may wait for it, whatever their version. */
  maxWaiting: number;
  /** The version that is meant where none is named; absent: the newest. */
  defaultVersion?: string | undefined;
  /** A typed input that the model accepts, for examples. */
  example?: Record<string, unknown> | undefined;
}

const tensorSpec = z.looseObject({
  name: z.string(),
  datatype: z.enum(DATATYPES),
  shape: z.array(z.int().nonnegative().nullable()).nullable(),
});
const tensorNames = z.looseObject({
  fields: z.array(z.string()).optional(),
  labels: z.array(z.string()).optional(),
  ...registeredMediaOptions,
});

/**
 * What comes from the registry comes from another process, perhaps of another release: parsed, not believed. Keys that another release adds
 * are passed over, and kept: the fingerprint is of the whole registration, and whoever puts back a lost one puts back all of it.
 */
export const servedModelSchema: z.ZodType<ServedModel> = z.looseObject({
  name: z.string().min(1),
  version: z.string().min(1),
  description: z.string().optional(),
  digest: z.string(),
  besides: z.string().optional(),
  signature: z.looseObject({
    inputs: z.array(tensorSpec),
    outputs: z.array(tensorSpec),
    batched: z.boolean(),
    equalSizes: z.array(equalSizesSchema).optional(),
    maxSizes: z.array(sizeBoundSchema).optional(),
  }),
  names: z.looseObject({ inputs: z.record(z.string(), tensorNames), outputs: z.record(z.string(), tensorNames) }),
  maxBatch: z.int().positive(),
  sharingKey: z.string().optional(),
  unbatched: z.string().optional(),
  maxWaiting: z.int().positive(),
  defaultVersion: z.string().optional(),
  example: z.record(z.string(), z.unknown()).optional(),
});

const fingerprints = new WeakMap<ServedModel, string>();

/**
 * Names one registration by its content, so that a task can refer to the very signature and names it was submitted for
 * without carrying them. Keys are sorted, so that it is the same wherever the object was built.
 */
export function fingerprintOf(model: ServedModel): string {
  let fingerprint = fingerprints.get(model);
  if (fingerprint === undefined) {
    fingerprint = createHash('sha256').update(JSON.stringify(model, sorted)).digest('hex').slice(0, 24);
    fingerprints.set(model, fingerprint);
  }
  return fingerprint;
}

function sorted(_key: string, value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)));
}
