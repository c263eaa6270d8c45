import type { Broker, Consumer, Delivery, Verdict } from '../../src/broker/broker.ts';
import { decodeMessage } from '../../src/broker/message.ts';
import { DEAD_LETTER_QUEUE, LONGEST_DELAY } from '../../src/broker/topology.ts';
import { StoreUnavailable } from '../../src/errors.ts';
import { manifestSchema } from '../../src/models/manifest.ts';
import type { Log } from '../../src/process/log.ts';
import { submissionSchema } from '../../src/task/submission.ts';
import { isTerminal, type Submission, type TaskError } from '../../src/task/task.ts';
import type { ModelSource } from '../repository/model-repository.ts';
import { RETURNS_MAX } from './absent-model.ts';
import { wornOut } from './outcome.ts';
import type { PatientStore } from './patient-store.ts';
import type { WorkerObserver } from './worker-observer.ts';

/** At once: each may have a megabyte or so. */
const PREFETCH = 8;

/** For a model that this worker does not have. */
const { maxAttempts: MAX_ATTEMPTS_DEFAULT } = manifestSchema.parse({});

export interface DeadLettersOptions {
  broker: Broker;
  patient: PatientStore;
  models: Pick<ModelSource, 'current'>;
  /** Aborts when the worker closes. */
  closing: AbortSignal;
  observer: WorkerObserver;
  log: Log;
}

/**
 * Sees to messages that RabbitMQ has delivered too often, or that nobody could read. A task that still has attempts goes
 * back to its queue; any other ends, so that no client waits for ever.
 */
export function consumeDeadLetters(options: DeadLettersOptions): Promise<Consumer> {
  const { broker, observer } = options;
  return broker.consume({ queue: DEAD_LETTER_QUEUE, prefetch: PREFETCH }, async (delivery) => {
    try {
      const submission = submissionIn(delivery);
      observer.deadLettered({ model: submission?.model.name });
      return await (submission ? sendBack(submission, delivery, options) : endUnreadable(delivery, options));
    } catch (error) {
      // Only a worker that closes gives up on the store.
      if (error instanceof StoreUnavailable) return 'requeue';
      throw error;
    }
  });
}

function submissionIn({ body }: Delivery): Submission | undefined {
  try {
    return decodeMessage(body).submission;
  } catch {
    return undefined;
  }
}

async function sendBack(submission: Submission, delivery: Delivery, options: DeadLettersOptions): Promise<Verdict> {
  const { patient, models, closing, log } = options;
  const { id } = submission;
  const { attemptsBefore, returnsBefore } = delivery;
  const signals = () => [delivery.signal, closing];
  const [head] = await patient.ask((store) => store.heads([id]), signals);
  if (head && isTerminal(head.state)) return 'ack';
  const attempts = Math.max(attemptsBefore, head?.attempts ?? 0);
  const maxAttempts = models.current(submission.model)?.manifest.maxAttempts ?? MAX_ATTEMPTS_DEFAULT;
  const fields = { taskId: id, model: submission.model.name, attempts, returnsBefore };
  if (attempts >= maxAttempts) {
    log.error(fields, 'dead letter has had its attempts, task failed');
    return endTask(submission, attempts, wornOut(attempts, maxAttempts), signals, options);
  }
  if (returnsBefore >= RETURNS_MAX) {
    const message = `the broker dead-lettered the message of the task again after ${returnsBefore} returns`;
    log.error(fields, 'dead letter came back too often, task failed');
    return endTask(submission, attempts, { code: 'WORKER_LOST', message }, signals, options);
  }
  const change = { to: 'QUEUED', at: Date.now(), submission, attemptsBefore: attempts } as const;
  const written = await patient.ask((store) => store.transition(id, change), signals);
  if (written === undefined) return 'ack';
  log.warn(fields, 'dead letter returned to its queue');
  return { returnAfterMs: LONGEST_DELAY.delayMs, attempts };
}

/** The message is lost; its task, if it is one's, is told so. */
async function endUnreadable(delivery: Delivery, options: DeadLettersOptions): Promise<Verdict> {
  const { patient, closing, log } = options;
  const { id, body, attemptsBefore, returnsBefore } = delivery;
  const signals = () => [delivery.signal, closing];
  const [task] = await patient.ask((store) => store.get([id]), signals);
  const fields = { taskId: id, bytes: body.byteLength, attemptsBefore, returnsBefore, state: task?.state };
  log.error(fields, 'dead letter is no prediction message, dropped');
  if (!task || isTerminal(task.state)) return 'ack';
  const error = { code: 'MODEL_ERROR', message: 'no worker could read the message of the task' } as const;
  return endTask(submissionSchema.parse(task), attemptsBefore, error, signals, options);
}

async function endTask(
  submission: Submission,
  attemptsBefore: number,
  error: TaskError,
  signals: () => AbortSignal[],
  { patient, observer }: DeadLettersOptions,
): Promise<Verdict> {
  const at = Date.now();
  const change = { to: 'FAILED', at, submission, attemptsBefore, error } as const;
  const written = await patient.ask((store) => store.transition(submission.id, change), signals);
  const model = submission.model.name;
  if (written !== undefined) observer.ended({ model, state: 'FAILED', totalMs: at - submission.submittedAt });
  return 'ack';
}
