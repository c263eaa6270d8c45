import { messageOf } from '../../src/errors.ts';
import type { Log } from '../../src/process/log.ts';
import { leftOutText } from '../inference/left-out.ts';
import { ModelFault, mayPass } from './model-fault.ts';
import type { LoadedModel, ModelContent } from './model-loading.ts';
import { isSame, type VersionFiles } from './model-tree.ts';
import { nextRetry, type Retry } from './retry.ts';

/** One version of a model, as it was taken last. */
export interface TakenVersion {
  files: VersionFiles;
  /** The newest content that could be inspected. */
  content?: ModelContent | undefined;
  /** The newest that could be served. */
  model?: LoadedModel | undefined;
  /** Of `files`; the model, if there is one, is then of those before them. */
  fault?: ModelFault | undefined;
  /** Where the fault may pass by itself. */
  retry?: Retry | undefined;
}

/** A version that could not be taken as it lies there now: what was served of it is served still. */
export function withFault(
  { files, content }: TakenVersion,
  before: TakenVersion | undefined,
  { error, tookMs, retryMs }: { error: unknown; tookMs: number; retryMs: number },
): TakenVersion & { fault: ModelFault } {
  const fault =
    error instanceof ModelFault ? error : new ModelFault(files, files.directory, messageOf(error), mayPass(error));
  const failed = before && isSame(before.files, files) ? before.retry : undefined;
  const retry = fault.retryable ? nextRetry(failed, { tookMs, retryMs }) : undefined;
  return { files, content, model: before?.model, fault, retry };
}

export function logFault(log: Log, { model, fault }: TakenVersion & { fault: ModelFault }): void {
  const isServed = model !== undefined;
  log.warn({ fault: fault.message, isServed }, isServed ? 'model not replaced' : 'model left out');
}

/** Says of a model that is served from now on what was not said of the one before it. */
export function logTaken(log: Log, model: LoadedModel, before: LoadedModel | undefined): void {
  const { name, version, digest, sharingKey } = model.served;
  const isOther = before?.served.digest !== digest;
  if (isOther || before.served.sharingKey !== sharingKey) logSharing(log, model);
  // Said once: not again for another manifest.
  for (const output of isOther ? model.leftOut : []) {
    log.warn({ model: name, version, note: leftOutText(output) }, 'output left out');
  }
}

/** Runs that are shared without a proof deserve a warning. */
function logSharing(log: Log, { served, sharing, unbatched }: LoadedModel): void {
  const { name: model, version, maxBatch } = served;
  const { finding, reason } = sharing();
  const why = unbatched();
  if (why !== undefined) log.info({ model, version, finding, reason: why }, 'tasks do not share a run');
  else if (reason === undefined) log.info({ model, version, maxBatch }, 'tasks share a run');
  else log.warn({ model, version, maxBatch, reason }, 'tasks share a run without a proof');
}
