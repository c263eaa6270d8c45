import { createHash } from 'node:crypto';
import { type Manifest, manifestFaults } from '../../src/models/manifest.ts';
import type { ServedModel } from '../../src/models/served-model.ts';
import { type Sharing, type Sharings, sharingKeyOf } from '../../src/models/sharing.ts';
import { typedApiOf } from '../../src/models/typed-api.ts';
import type { ModelFile } from '../inference/inference-messages.ts';
import type { InferencePool } from '../inference/inference-pool.ts';
import type { RowSpec } from '../inference/probe-rows.ts';
import { RunLost } from '../inference/run-error.ts';
import type { SharingPlan } from '../inference/sharing-proof.ts';
import { givenInputs } from './given-inputs.ts';

/** What a proof may take before its process is killed: it begins no run that would take it beyond half of that. */
const PROOF_TIMEOUT_MS = 30_000;

/** Batches are tried at least so far, whatever a manifest allows: the finding is of the files, and the manifest may change. */
const ROWS_MAX = 64;

const ASSUMED: Sharing = {
  finding: 'independent',
  reason:
    'model.json says "batched": true, so nothing proves that tasks of a shared run get the results of separate runs.',
};

export interface FindingOptions {
  pool: Pick<InferencePool, 'prove'>;
  sharings: Sharings;
  /** What ends with it shows nothing. */
  closing?: AbortSignal | undefined;
}

/** A model whose structure has a batch, as it would be served if its rows were independent. */
export interface Candidate {
  served: ServedModel;
  manifest: Manifest;
  file: ModelFile;
}

/**
 * The model with what is known of its batch. Only what was found dependent before the model was served makes dimension 0 one like the
 * others, and the types with it; sharing that ended in use, and what is unknown, leave the types as the structure has them.
 */
export async function withSharing(
  { served, manifest, file }: Candidate,
  obstacle: string | undefined,
  options: FindingOptions,
): Promise<ServedModel> {
  const because = (unbatched: string): ServedModel => {
    return { ...served, signature: { ...served.signature, batched: false }, maxBatch: 1, unbatched };
  };
  if (manifest.batched === false) return because('model.json says "batched": false.');
  if (obstacle !== undefined) return because(`${obstacle.charAt(0).toUpperCase()}${obstacle.slice(1)}.`);
  const { key, sharing } = await findingOf({ served, manifest, file }, options);
  const { finding, inUse, reason = 'Its rows depend on each other.' } = sharing;
  return finding === 'dependent' && !inUse ? because(reason) : { ...served, sharingKey: key };
}

/**
 * Whether tasks of a model may share a run, and the key under which that stays known: found once for the content of its files, by
 * whichever worker is first. Rejects with a `RunError` where nothing was shown for no fault of the model's.
 */
async function findingOf(
  { served, manifest, file }: Candidate,
  { pool, sharings, closing }: FindingOptions,
): Promise<{ key: string; sharing: Sharing }> {
  const { batched, executionProviders } = manifest;
  const key = sharingKeyOf(served, executionProviders, { assumed: batched === true });
  if (batched) return { key, sharing: await sharings.recordSharing(key, ASSUMED) };
  const probes = probesOf(manifest);
  const known = await sharings.findSharing(key);
  // Another example may settle what is unknown. The same one would not, and may be what killed a process.
  if (known && (known.finding !== 'unknown' || known.probes === probes)) return { key, sharing: known };
  const found = await prove(pool, file, planOf(served, manifest)).catch((error: unknown) => {
    if (closing?.aborted || !(error instanceof RunLost)) throw error;
    return lostOver(error);
  });
  const finding = found.finding === 'unknown' ? { ...found, probes } : found;
  return { key, sharing: await sharings.recordSharing(key, finding) };
}

function prove(pool: FindingOptions['pool'], file: ModelFile, plan: SharingPlan): Promise<Sharing> {
  return pool.prove(file, plan, { timeoutMs: PROOF_TIMEOUT_MS });
}

/** What is known of a model whose probe was lost. */
function lostOver({ code }: RunLost): Sharing {
  const how = code === 'TIMEOUT' ? `took longer than ${PROOF_TIMEOUT_MS} ms` : 'ended its inference process';
  const reason = `Not proven: a probe ${how}; an "example" in model.json that is quick and safe would settle whether its tasks may share a run.`;
  return { finding: 'unknown', reason };
}

/** Names what the manifest adds to the probes. */
function probesOf({ example, warmUp, inputs }: Manifest): string {
  return createHash('sha256')
    .update(JSON.stringify([example, warmUp, inputs]))
    .digest('hex')
    .slice(0, 12);
}

function planOf(served: ServedModel, manifest: Manifest): SharingPlan {
  const isRight = manifestFaults(manifest, served.signature).length === 0;
  const fields = (isRight && typedApiOf(served)?.inputs) || [];
  const inputs = served.signature.inputs.map(({ name, datatype, shape }): RowSpec => {
    const picture = fields.find(({ spec }) => spec.name === name)?.file?.reader.shape;
    return { name, datatype, shape: picture ? [null, ...picture] : (shape ?? []) };
  });
  const rowsMax = Math.max(ROWS_MAX, manifest.maxBatch);
  return { inputs, given: isRight ? givenInputs(served, manifest) : [], rowsMax };
}
