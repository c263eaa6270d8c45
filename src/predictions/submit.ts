import { randomUUID } from 'node:crypto';
import { encodeMessage } from '../broker/message.ts';
import { type Lane, MESSAGE_BYTES_MAX } from '../broker/topology.ts';
import { AppError, InputError } from '../errors.ts';
import { fingerprintOf, type ServedModel } from '../models/served-model.ts';
import type { TaskStore } from '../store/store.ts';
import type { Submission, Task } from '../task.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import type { Tracing } from '../telemetry/tracing.ts';
import type { Tensor } from '../tensor.ts';
import type { Enqueue, Prepared } from './enqueue.ts';
import { type Hold, readTasks } from './results.ts';
import { contentOf, keyedTaskId } from './submission-id.ts';
import { untilTerminal } from './until-terminal.ts';

/** Keys whose task is known to be queued: whoever asks again and again by one does not fill the queue with copies. */
const CONFIRMED_MAX = 10_000;

/** The header of a message is that of the first submission of its key, which may be longer than the one that was measured. */
const HEADER_BYTES = 4 * 1024;

/** One prediction that was checked against its model and may be queued. */
export interface PredictionRequest {
  model: ServedModel;
  door: Submission['door'];
  inputs: Tensor[];
  /** Where it stands in the arguments, for what is wrong with it as a whole. */
  path: (string | number)[];
}

export interface SubmitContext {
  owner: string;
  /** @default 'normal' */
  lane?: Lane;
  /** Milliseconds after which a task that has not begun is EXPIRED. */
  expiresInMs?: number | undefined;
  /** The same key gives the same task; for one request alone. */
  idempotencyKey?: string | undefined;
  /** Synchronous use: how long the answer may be held until the tasks are terminal. */
  waitMs: number;
  hold?: Hold;
  /** What the client calls its own span, as W3C Trace Context writes it. */
  traceparent?: string | undefined;
  /** The client has gone: nobody waits for the answer any more. The tasks run all the same. */
  signal?: AbortSignal | undefined;
}

/**
 * Queues all or none; resolves once the broker has confirmed every one (and, with `waitMs`, once they are terminal).
 * Rejects with INVALID_INPUT if a message would be too large for the broker, with QUEUE_FULL, or with `BrokerUnavailable` or
 * `StoreUnavailable`; nobody has an id then, and what was queued is withdrawn.
 */
export type Submit = (requests: readonly PredictionRequest[], context: SubmitContext) => Promise<Task[]>;

export function createSubmit(services: {
  store: TaskStore;
  enqueue: Enqueue;
  metrics: Metrics;
  tracing: Tracing;
}): Submit {
  const { store, enqueue, metrics, tracing } = services;
  const copying = new Map<string, Promise<void>>();
  /** By id, when the submission was made that is known to be queued: a store that has lost the record begins another. */
  const confirmed = new Map<string, number>();

  return async (requests, context) => {
    const { owner, idempotencyKey, waitMs, hold, traceparent: parent } = context;
    const attributes = { 'foretell.predictions': requests.length };
    const submissions = await tracing.span('submitPrediction', { kind: 'server', parent, attributes }, (span) =>
      counted(requests, () => accept(requests, { ...context, traceparent: span.traceparent })),
    );
    if (idempotencyKey === undefined && waitMs === 0) return submissions.map(queued);
    const ids = submissions.map(({ id }) => id);
    if (waitMs > 0) await untilTerminal(store, ids, context);
    // They were accepted, so neither a store that is away nor results that are too large take the ids from the client.
    const tasks = await readTasks(store, ids, owner, hold).catch(withoutResults);
    return submissions.map((submission, i) => tasks[i] ?? queued(submission));
  };

  async function accept(requests: readonly PredictionRequest[], context: SubmitContext): Promise<Submission[]> {
    const submittedAt = Date.now();
    const prepared = requests.map((request) => prepare(request, context, submittedAt));
    if (context.idempotencyKey === undefined) await enqueue.all(prepared);
    else for (const one of prepared) await enqueueOnce(one);
    return prepared.map(({ submission }) => submission);
  }

  async function counted<T>(requests: readonly PredictionRequest[], work: () => Promise<T>): Promise<T> {
    try {
      const result = await work();
      for (const { model } of requests) metrics.accepted({ model: model.name });
      return result;
    } catch (error) {
      if (error instanceof AppError) {
        for (const { model } of requests) metrics.refused({ model: model.name, code: error.code });
      }
      throw error;
    }
  }

  /** Leaves a task as it is that was queued before. Who meets another submit of the same key waits for that one's confirm. */
  async function enqueueOnce(prepared: Prepared): Promise<void> {
    const { id } = prepared.submission;
    const [head] = await store.heads([id]);
    if (head && (head.state !== 'QUEUED' || confirmed.get(id) === head.submittedAt)) return;
    let copy = copying.get(id);
    if (!copy) {
      copy = enqueue.copy(prepared).finally(() => copying.delete(id));
      copying.set(id, copy);
    }
    await copy;
    confirmed.set(id, head?.submittedAt ?? prepared.submission.submittedAt);
    for (const oldest of confirmed.keys()) {
      if (confirmed.size <= CONFIRMED_MAX) break;
      confirmed.delete(oldest);
    }
  }
}

/** Gives a request its id and its message. Throws INVALID_INPUT if that is more than the broker carries. */
function prepare(
  { model, door, inputs, path }: PredictionRequest,
  { owner, lane = 'normal', expiresInMs, idempotencyKey, traceparent }: SubmitContext,
  submittedAt: number,
): Prepared {
  const { name, version } = model;
  const submission: Submission = {
    id: idempotencyKey === undefined ? randomUUID() : keyedTaskId(owner, idempotencyKey),
    owner,
    model: { name, version, fingerprint: fingerprintOf(model) },
    door,
    submittedAt,
    ...(expiresInMs !== undefined && { expiresAt: submittedAt + expiresInMs }),
    ...(idempotencyKey !== undefined && { content: contentOf(inputs) }),
    ...(traceparent !== undefined && { traceparent }),
  };
  const body = encodeMessage({ submission, inputs });
  const bytesMax = MESSAGE_BYTES_MAX - (idempotencyKey === undefined ? 0 : HEADER_BYTES);
  if (body.length > bytesMax) {
    const message = `expected at most ${bytesMax} bytes of inputs, got ${body.length}`;
    throw new InputError('INVALID_INPUT', [{ path, message }]);
  }
  return { model, submission, lane, inputs, body };
}

function withoutResults(error: unknown): Task[] {
  if (error instanceof AppError) return [];
  throw error;
}

const queued = (submission: Submission): Task => ({ ...submission, state: 'QUEUED', attempts: 0, revision: 1 });
