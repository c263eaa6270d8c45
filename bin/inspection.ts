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
  /** Size of the file and its files of weights. */
  bytes: number;
}

/** The name and version that a file would have. */
export interface Identity {
  name: string;
  version: string;
  manifestFile: string;
}

/** Silent: the command itself prints errors. */
const log = createLog('silent', 'models');

/** Runs `use` with a pool of inference processes, and closes the pool. */
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
 * Copies a file and its files of weights to an empty directory, laid out as a version, and inspects the copy.
 * Throws if it could not be served; the message has the path and the reason.
 */
export async function inspect(file: string, identity: Identity, directory: string): Promise<Inspection> {
  const copy = join(directory, 'model.onnx');
  try {
    const home = dirname(file);
    // Copy first: the original may be replaced while it is inspected.
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
    // An error in a manifest names the manifest. Any other error names the path that the user gave, not the copy.
    if (error instanceof ModelFault) throw error;
    const message = messageOf(error).replaceAll(copy, file).replaceAll(directory, dirname(file));
    throw new Error(`${file}: ${message}`);
  }
}

/** Name and version by the path: `NAME/VERSION/model.onnx` as in MODELS_DIR, else the name of the file. */
export function identityOf(file: string): Identity {
  const directory = dirname(file);
  const [home, version] = [dirname(resolve(directory)), basename(resolve(directory))];
  if (basename(file) === 'model.onnx' && /^\d+$/.test(version)) {
    return { name: basename(home), version, manifestFile: join(directory, '..', 'model.json') };
  }
  return { name: basename(file).replace(/\.onnx$/i, ''), version: '1', manifestFile: join(directory, 'model.json') };
}
