import { mkdir } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { messageOf } from '../src/errors.ts';
import { createLog } from '../src/process/log.ts';
import { createMemorySharing } from '../src/registry/memory-sharing.ts';
import type { DeclaredSignature } from '../workers/inference/inference-messages.ts';
import { createInferencePool, type InferencePool } from '../workers/inference/inference-pool.ts';
import { digestOf } from '../workers/inference/model-file.ts';
import { requireOnnx } from '../workers/inference/onnx/foreign-file.ts';
import { factsOf, type OnnxFacts } from '../workers/inference/onnx/onnx-file.ts';
import { externalFiles, sizeOf } from '../workers/inference/onnx/onnx-weights.ts';
import { ModelFault } from '../workers/repository/model-fault.ts';
import { type LoadedModel, loadModel } from '../workers/repository/model-loading.ts';
import { copyOwn } from '../workers/repository/own-files.ts';

/** An ONNX file as it would be served. */
export interface Inspection {
  model: LoadedModel;
  onnx: DeclaredSignature;
  facts: OnnxFacts;
  /** Files beside or below it that hold its weights. */
  weights: string[];
  /** Of the file, and of those that hold its weights. */
  bytes: number;
}

/** What a file would be served as. */
export interface Identity {
  name: string;
  version: string;
  manifestFile: string;
}

/** Nobody reads it: what is wrong is said by the command itself. */
const log = createLog('silent', 'models');

/** Lends inference processes for as long as `use` takes. */
export async function withPool<T>(
  slots: number,
  use: (pool: InferencePool, silent: typeof log) => Promise<T>,
): Promise<T> {
  const pool = createInferencePool({ slots, log });
  try {
    return await use(pool, log);
  } finally {
    await pool.close();
  }
}

/**
 * Copies a file, and those of its weights, to an empty directory as a version's files lie there, and has the copy inspected.
 * Throws, with the path and what is wrong there, where it could not be served.
 */
export async function inspect(file: string, identity: Identity, directory: string): Promise<Inspection> {
  const copy = join(directory, 'model.onnx');
  try {
    const home = dirname(file);
    // The copy first: what lies there is not what is looked at next, where somebody replaces it meanwhile.
    await copyOwn(home, basename(file), copy);
    requireOnnx(copy);
    const weights = externalFiles(copy);
    for (const path of weights) {
      await mkdir(dirname(join(directory, path)), { recursive: true });
      await copyOwn(home, path, join(directory, path));
    }
    return await withPool(1, async (pool) => {
      const digest = await digestOf(copy);
      const onnx = await pool.inspect({ file: copy, digest });
      const content = { stamp: '', copy: directory, digest, besides: undefined, signature: onnx };
      const files = { ...identity, directory, stamp: '', manifestStamp: '' };
      const model = await loadModel(files, content, { pool, sharings: createMemorySharing() });
      return { model, onnx, facts: factsOf(copy), weights, bytes: await sizeOf(copy) };
    });
  } catch (error) {
    // The fault of a manifest names the manifest, and people know the file by the path that they gave.
    if (error instanceof ModelFault) throw error;
    const message = messageOf(error).replaceAll(copy, file).replaceAll(directory, dirname(file));
    throw new Error(`${file}: ${message}`);
  }
}

/** What the place of a file says: `NAME/VERSION/model.onnx` as in a directory of models, else its own name. */
export function identityOf(file: string): Identity {
  const directory = dirname(file);
  const [home, version] = [dirname(resolve(directory)), basename(resolve(directory))];
  if (basename(file) === 'model.onnx' && /^\d+$/.test(version)) {
    return { name: basename(home), version, manifestFile: join(directory, '..', 'model.json') };
  }
  return { name: basename(file).replace(/\.onnx$/i, ''), version: '1', manifestFile: join(directory, 'model.json') };
}
