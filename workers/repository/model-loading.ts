import { createHash } from 'node:crypto';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { messageOf } from '../../src/errors.ts';
import type { EqualSizes } from '../../src/models/equal-sizes.ts';
import { type Manifest, manifestFaults } from '../../src/models/manifest.ts';
import { fingerprintOf, type ServedModel, type Signature } from '../../src/models/served-model.ts';
import { type Sharing, sharingOf, unbatchedOf } from '../../src/models/sharing.ts';
import { batchObstacle, signatureOf } from '../../src/models/signature.ts';
import { sizeBoundsOf } from '../../src/models/size-bounds.ts';
import { readWarmUp } from '../../src/models/warm-up.ts';
import type { DeclaredSignature, WarmUp } from '../inference/inference-messages.ts';
import type { InferencePool } from '../inference/inference-pool.ts';
import { type LeftOut, leftOutText } from '../inference/left-out.ts';
import { digestOf } from '../inference/model-file.ts';
import { readManifest } from './manifest-file.ts';
import { ModelFault, mayPass } from './model-fault.ts';
import type { VersionFiles } from './model-tree.ts';
import { requireFile } from './own-files.ts';
import type { PrivateCopies } from './private-copies.ts';
import { type FindingOptions, withSharing } from './sharing-finding.ts';
import { PROBE_TIMEOUT_MS, type RunProbe, sharedSymbols, withEqualSizes } from './size-probes.ts';
import { versionFiles } from './version-files.ts';

/** One version of a model, as a worker knows it. */
export interface LoadedModel {
  served: ServedModel;
  fingerprint: string;
  /** The worker's own copy of `model.onnx`. */
  file: string;
  manifest: Manifest;
  /** Outputs of the file that are not served. */
  leftOut: readonly LeftOut[];
  /** Dimensions of inputs that go by one symbol, whether or not they have to be of one size. */
  sharedSymbols?: readonly EqualSizes[] | undefined;
  /** What each inference process does with it before it takes work, where the manifest says so. */
  warmUp?: WarmUp | undefined;
  /** What is known of its rows at this moment, and why tasks do not share a run of it, if they do not. */
  sharing(): Sharing;
  unbatched(): string | undefined;
  shares(): boolean;
}

/** What is asked of the inference processes before a model is served. */
export type ModelPool = Pick<InferencePool, 'inspect' | 'probe' | 'prove' | 'warmUp' | 'coolDown'>;

/** The files of one version, copied and inspected. */
export interface ModelContent {
  /** Of the files that it was read from. */
  stamp: string;
  /** The directory of the copy. */
  copy: string;
  /** SHA-256 of `model.onnx`, in hexadecimal. */
  digest: string;
  /** The same over the files beside it, where there are any: weights that the model keeps apart. */
  besides: string | undefined;
  signature: DeclaredSignature;
}

const FILE = 'model.onnx';

/** Copies a version's files and has them inspected; goes no further once `closing` is aborted. Throws a `ModelFault`. */
export async function loadContent(
  files: VersionFiles,
  { pool, copies, closing }: { pool: ModelPool; copies: PrivateCopies; closing: AbortSignal },
): Promise<ModelContent> {
  let copy: string | undefined;
  try {
    await requireModel(files.directory);
    copy = await copies.add(files.directory, closing);
    const file = join(copy, FILE);
    const digest = await digestOf(file, closing);
    const signature = await pool.inspect({ file, digest });
    return { stamp: files.stamp, copy, digest, besides: await digestBeside(copy, closing), signature };
  } catch (error) {
    const message = messageOf(error);
    // What the copy lacks, the original does.
    const fault = copy === undefined ? message : message.replaceAll(copy, files.directory);
    const isLost = copy !== undefined && !(await copies.has(copy));
    throw new ModelFault(files, join(files.directory, FILE), fault, isLost || mayPass(error));
  }
}

/** Says what may have been meant, where it is called otherwise. */
async function requireModel(directory: string): Promise<void> {
  const found = await stat(join(directory, FILE)).catch(async (error: NodeJS.ErrnoException) => {
    const others = (await versionFiles(directory)).map(({ path }) => path).filter((path) => path.endsWith('.onnx'));
    if (error.code !== 'ENOENT' || others.length === 0) throw error;
    throw new Error(`no such file; there is ${others.join(', ')}, and expected is the name ${FILE}`, { cause: error });
  });
  requireFile(found);
}

async function digestBeside(directory: string, closing: AbortSignal): Promise<string | undefined> {
  const paths = (await versionFiles(directory)).map(({ path }) => path).filter((path) => path !== FILE);
  if (paths.length === 0) return undefined;
  const hash = createHash('sha256');
  for (const path of paths) hash.update(`${path}\n${await digestOf(join(directory, path), closing)}\n`);
  return hash.digest('hex');
}

/** Reads the manifest, puts it beside what the files say, and tries what it asks for. Throws a `ModelFault`. */
export async function loadModel(
  files: VersionFiles,
  content: ModelContent,
  context: { pool: ModelPool } & Omit<FindingOptions, 'pool'>,
): Promise<LoadedModel> {
  const { pool, sharings } = context;
  const { version, manifestFile } = files;
  const manifest = await readManifest(files);
  const { digest, copy } = content;
  const { inputs: given, outputs, leftOut } = content.signature;
  const obstacle = batchObstacle(given, outputs, manifest.batched);
  const signature = signatureOf(given, outputs, manifest.batched);
  const { bounds, faults: boundFaults } = sizeBoundsOf(manifest.maxSizes, given);
  const faulty = (fault: string, retryable = false): never => {
    throw new ModelFault(files, manifestFile, `${fault} (version ${version})`, retryable);
  };
  const check = (faults: readonly string[]) => {
    // What a name may have been meant for.
    if (faults.length > 0) faulty([...faults, ...leftOut.map(leftOutText)].join('; '));
  };
  check(boundFaults);
  if (manifest.batched && obstacle !== undefined) check([`batched: ${obstacle}`]);
  // Whether dimension 0 is a batch decides what fits, and is not known yet.
  const unbatched = manifestFaults(manifest, { ...signature, batched: false });
  if (unbatched.length > 0) check(manifestFaults(manifest, signature));
  const file = join(copy, FILE);
  const { executionProviders } = manifest;
  // The content was inspected on the CPU, which is always there.
  if (executionProviders.some((provider) => provider.name !== 'cpu')) {
    await pool
      .inspect({ file, digest, executionProviders })
      .catch((error: unknown) => faulty(messageOf(error), mayPass(error)));
  }
  const modelFile = { file, digest, executionProviders };
  const run: RunProbe = (probe) => pool.probe(modelFile, probe, { timeoutMs: PROBE_TIMEOUT_MS });
  const maximal = bounds.length > 0 ? { ...signature, maxSizes: bounds } : signature;
  const of = { served: candidateOf(files, content, manifest, maximal), manifest, file: modelFile };
  const known = await withSharing(of, obstacle, context).catch((error: unknown) =>
    faulty(messageOf(error), mayPass(error)),
  );
  check(manifestFaults(manifest, known.signature));
  const groups = sharedSymbols(given, known.signature);
  const served = await withEqualSizes(known, { groups, manifest, run });
  const { inputs, faults: inputFaults } = readWarmUp(served, manifest.warmUp);
  if (inputFaults.length > 0) faulty(inputFaults.join('; '));
  const warmUp = inputs.length > 0 ? { model: modelFile, inputs, timeoutMs: manifest.timeoutMs } : undefined;
  if (warmUp) await pool.warmUp(warmUp).catch((error: unknown) => faulty(messageOf(error), mayPass(error)));
  return {
    served,
    fingerprint: fingerprintOf(served),
    file,
    manifest,
    leftOut,
    warmUp,
    sharedSymbols: groups,
    sharing: () => sharingOf(sharings, served),
    unbatched: () => unbatchedOf(sharings, served),
    shares: () => sharingOf(sharings, served).finding === 'independent',
  };
}

/** As it would be served if its rows were independent, and nothing else had to be found out. */
function candidateOf(
  { name, version }: VersionFiles,
  { digest, besides }: ModelContent,
  manifest: Manifest,
  signature: Signature,
): ServedModel {
  const { description, inputs, outputs, maxBatch, maxWaiting, defaultVersion, example } = manifest;
  return {
    name,
    version,
    description,
    digest,
    besides,
    signature,
    names: { inputs, outputs },
    maxBatch,
    maxWaiting,
    defaultVersion: defaultVersion === 'latest' ? undefined : defaultVersion,
    example,
  };
}
