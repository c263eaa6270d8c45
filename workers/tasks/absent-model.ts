import type { Delivery, Verdict } from '../../src/broker/broker.ts';
import { LONGEST_RUNG } from '../../src/broker/topology.ts';
import type { Log } from '../../src/log.ts';
import type { Submission } from '../../src/task.ts';
import type { PatientStore } from './patient-store.ts';
import type { WorkerObserver } from './worker-observer.ts';

/** How often a task goes back for a worker that has its model: at half a minute each, about ten minutes, longer than a roll-out. */
export const RETURNS_MAX = 20;

/**
 * What becomes of a task whose model, or whose version of it, this worker does not have: another may have it, a newer one
 * while a version is rolled out, an older one while it is withdrawn. Where none shows up the task ends, so that its client is told.
 */
export async function passOn(
  { submission, delivery }: { submission: Submission; delivery: Delivery },
  options: { patient: PatientStore; closing: AbortSignal; observer: WorkerObserver; log: Log },
): Promise<Verdict> {
  const { patient, closing, observer, log } = options;
  const { id, model, submittedAt } = submission;
  const { attemptsBefore, returnsBefore } = delivery;
  const fields = { taskId: id, model: model.name, version: model.version, returnsBefore };
  const signal = AbortSignal.any([delivery.signal, closing]);
  if (returnsBefore < RETURNS_MAX) {
    log.warn(fields, 'task for a model that is not here, returned');
    const returnAfterMs = LONGEST_RUNG.delayMs;
    if (!delivery.redelivered) return { returnAfterMs };
    // Whoever ran it may have died. Published anew the message does not say so, and a record that is still RUNNING would keep
    // those off who have the model.
    const waiting = { to: 'QUEUED', at: Date.now(), submission, attemptsBefore } as const;
    const attempts = await patient.ask((store) => store.transition(id, waiting), signal);
    return attempts === undefined ? 'ack' : { returnAfterMs, attempts };
  }
  const message = `no worker here has version ${model.version} of model "${model.name}" (asked ${returnsBefore + 1} times)`;
  log.error(fields, 'task for a model that no worker has, failed');
  const at = Date.now();
  const change = { to: 'FAILED', at, submission, attemptsBefore, error: { code: 'MODEL_ERROR', message } } as const;
  const written = await patient.ask((store) => store.transition(id, change), signal);
  if (written !== undefined) observer.ended({ model: model.name, state: 'FAILED', totalMs: at - submittedAt });
  return 'ack';
}
