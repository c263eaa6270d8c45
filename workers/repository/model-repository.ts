import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { z } from 'zod';
import { messageOf } from '../../src/errors.ts';
import type { Log } from '../../src/log.ts';
import { type Manifest, manifestFaults, manifestSchema } from '../../src/models/manifest.ts';
import { compareModels } from '../../src/models/registry.ts';
import { fingerprintOf, type ServedModel } from '../../src/models/served-model.ts';
import { signatureOf } from '../../src/models/signature.ts';
import type { Submission } from '../../src/task.ts';
import type { InferencePool } from '../inference/inference-pool.ts';
import { digestOf } from '../inference/model-file.ts';

/** One version of a model, as a worker knows it. */
export interface LoadedModel {
  served: ServedModel;
  fingerprint: string;
  file: string;
  manifest: Manifest;
}

export interface ModelRepository {
  /** Sorted by name, then by version, the newest first. */
  models: LoadedModel[];
  /** What could not be served, one line each: the path and what is wrong there. */
  faults: string[];
}

/** The very version that a task was submitted for. */
export function findModel(models: readonly LoadedModel[], { model }: Submission): LoadedModel | undefined {
  return models.find(({ served }) => served.name === model.name && served.version === model.version);
}

/** A queue is named after its model, and AMQP gives that name 255 bytes. */
const NAME_BYTES_MAX = 180;
/** The generic door's field of the GraphQL input that models are fields of. */
const RESERVED_NAME = 'tensors';
/** Whole numbers that JavaScript tells apart, written in one way only. */
const VERSION = /^(0|[1-9]\d{0,14})$/;

/** Something in the directory of models that cannot be served. */
class Fault extends Error {
  constructor(path: string, fault: string) {
    super(`${path}: ${fault.replace(/\s*\n\s*/g, ' ')}`);
  }
}

/**
 * Reads `<modelsDir>/<name>/model.json` and `<name>/<version>/model.onnx`, and has each ONNX file inspected by an inference
 * process. A fault leaves out that model or version, never its neighbours.
 */
export async function openModelRepository(options: {
  modelsDir: string;
  pool: Pick<InferencePool, 'inspect'>;
  log: Log;
}): Promise<ModelRepository> {
  const { modelsDir, pool, log } = options;
  const models: LoadedModel[] = [];
  const faults: string[] = [];
  const guard = async <T>(read: () => Promise<T>): Promise<T | undefined> => {
    try {
      return await read();
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
      log.warn({ fault: error.message }, 'model left out');
      faults.push(error.message);
      return undefined;
    }
  };
  for (const name of (await guard(() => directoriesIn(modelsDir))) ?? []) {
    const found = await guard(() => findVersions(modelsDir, name));
    for (const version of found?.versions ?? []) {
      const model =
        found &&
        (await guard(() => loadVersion(join(modelsDir, name), { name, version, manifest: found.manifest }, pool)));
      if (model) models.push(model);
    }
  }
  return { models: models.sort((a, b) => compareModels(a.served, b.served)), faults };
}

async function findVersions(modelsDir: string, name: string): Promise<{ manifest: Manifest; versions: string[] }> {
  const path = join(modelsDir, name);
  if (name === RESERVED_NAME)
    throw new Fault(path, `a model cannot be named "${name}", which is the API's word for any model's input`);
  const bytes = Buffer.byteLength(name);
  if (bytes > NAME_BYTES_MAX)
    throw new Fault(path, `the name is ${bytes} bytes long; expected at most ${NAME_BYTES_MAX}`);
  const versions = (await directoriesIn(path)).filter((entry) => VERSION.test(entry));
  if (versions.length === 0)
    throw new Fault(
      path,
      `expected a directory for each version, named by a whole number, as in ${join(path, '1', 'model.onnx')}`,
    );
  return { manifest: await readManifest(join(path, 'model.json')), versions };
}

async function readManifest(path: string): Promise<Manifest> {
  const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return '{}';
    throw new Fault(path, error.message);
  });
  const parsed = manifestSchema.safeParse(parseJson(path, text));
  if (!parsed.success) throw new Fault(path, parsed.error.issues.map(describeIssue).join('; '));
  return parsed.data;
}

function parseJson(path: string, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new Fault(path, `expected JSON: ${messageOf(error)}`);
  }
}

function describeIssue({ path, message }: z.core.$ZodIssue): string {
  return path.length === 0 ? message : `${path.join('.')}: ${message}`;
}

async function loadVersion(
  directory: string,
  { name, version, manifest }: { name: string; version: string; manifest: Manifest },
  pool: Pick<InferencePool, 'inspect'>,
): Promise<LoadedModel> {
  const file = join(directory, version, 'model.onnx');
  const faulty = (error: unknown): never => {
    throw new Fault(file, messageOf(error));
  };
  const digest = await digestOf(file).catch(faulty);
  const { inputs, outputs } = await pool.inspect({ file, digest }).catch(faulty);
  const signature = signatureOf(inputs, outputs, manifest.batched);
  const faults = manifestFaults(manifest, signature);
  if (faults.length > 0) throw new Fault(join(directory, 'model.json'), `${faults.join('; ')} (version ${version})`);
  const served: ServedModel = {
    name,
    version,
    description: manifest.description,
    digest,
    signature,
    names: { inputs: manifest.inputs, outputs: manifest.outputs },
    maxBatch: signature.batched ? manifest.maxBatch : 1,
    maxWaiting: manifest.maxWaiting,
    example: manifest.example,
  };
  return { served, fingerprint: fingerprintOf(served), file, manifest };
}

/** Names of the directories, links to directories included; sorted. What begins with a dot is somebody else's. */
async function directoriesIn(path: string): Promise<string[]> {
  const entries = await readdir(path).catch((error: unknown) => {
    throw new Fault(path, messageOf(error));
  });
  const isDirectory = (name: string) => stat(join(path, name)).then((found) => found.isDirectory());
  const visible = entries.filter((name) => !name.startsWith('.'));
  const flags = await Promise.all(visible.map((name) => isDirectory(name).catch(() => false)));
  return visible.filter((_, i) => flags[i]).sort();
}
