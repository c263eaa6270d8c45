import type { Delivery, Verdict } from '../../src/broker/broker.ts';
import { DELAY_QUEUES, LONGEST_DELAY } from '../../src/broker/topology.ts';
import { ifUnavailable } from '../../src/errors.ts';
import type { ServedModel } from '../../src/models/served-model.ts';
import type { Log } from '../../src/process/log.ts';
import type { Submission } from '../../src/task/task.ts';
import type { LoadedModel } from '../repository/model-loading.ts';
import type { ModelSource } from '../repository/model-repository.ts';
import type { PatientStore } from './patient-store.ts';
import type { WorkerObserver } from './worker-observer.ts';

/** How often a task goes back for a worker that has its model: most of it at half a minute each, about ten minutes, longer than a roll-out. */
export const RETURNS_MAX = 20;

/** How often it goes back before it is run on what lies under its model's name and version now, though that is another content: about a minute. */
const RETURNS_FOR_CONTENT = 4;

/** The registration with a fingerprint, also after it was replaced; `undefined` if nobody remembers it. */
export type FindRegistered = (fingerprint: string) => Promise<ServedModel | undefined>;

interface Arrived {
  submission: Submission;
  delivery: Delivery;
}

/**
 * What a task runs on whose very registration this worker does not have: the same content, registered with other words. Failing
 * that, and when no other worker had it either, whatever has its name and version; whether its input fits that is checked then.
 */
export async function standIn(
  { submission, delivery }: Arrived,
  { models, findRegistered }: { models: ModelSource; findRegistered: FindRegistered },
): Promise<LoadedModel | undefined> {
  const current = models.current(submission.model);
  if (!current) return undefined;
  const registered = await findRegistered(submission.model.fingerprint).catch(ifUnavailable(undefined));
  const { digest, besides } = current.served;
  const isSameContent = !registered || (registered.digest === digest && registered.besides === besides);
  return isSameContent || delivery.returnsBefore >= RETURNS_FOR_CONTENT ? current : undefined;
}

/**
 * What becomes of a task whose model, or whose version of it, this worker does not have: another may have it, a newer one
 * while a version is rolled out, an older one while it is withdrawn. Where none shows up the task ends, so that its client is told.
 */
export async function passOn(
  { submission, delivery }: Arrived,
  options: { patient: PatientStore; closing: AbortSignal; observer: WorkerObserver; log: Log },
): Promise<Verdict> {
  const { patient, closing, observer, log } = options;
  const { id, model, submittedAt } = submission;
  const { attemptsBefore, returnsBefore } = delivery;
  const fields = { taskId: id, model: model.name, version: model.version, returnsBefore };
  const signals = () => [delivery.signal, closing];
  if (returnsBefore < RETURNS_MAX) {
    log.warn(fields, 'task for a model that is not here, returned');
    // Soon at first: one worker registers a new version a second or so before the next has it.
    const { delayMs: returnAfterMs } = DELAY_QUEUES[returnsBefore] ?? LONGEST_DELAY;
    if (!delivery.redelivered) return { returnAfterMs };
    // Whoever ran it may have died. Published anew the message does not say so, and a record that is still RUNNING would keep
    // those off who have the model.
    const waiting = { to: 'QUEUED', at: Date.now(), submission, attemptsBefore } as const;
    const attempts = await patient.ask((store) => store.transition(id, waiting), signals);
    return attempts === undefined ? 'ack' : { returnAfterMs, attempts };
  }
  const message = `no worker here has version ${model.version} of model "${model.name}" (asked ${returnsBefore + 1} times)`;
  log.error(fields, 'task for a model that no worker has, failed');
  const at = Date.now();
  const change = { to: 'FAILED', at, submission, attemptsBefore, error: { code: 'MODEL_ERROR', message } } as const;
  const written = await patient.ask((store) => store.transition(id, change), signals);
  if (written !== undefined) observer.ended({ model: model.name, state: 'FAILED', totalMs: at - submittedAt });
  return 'ack';
}
