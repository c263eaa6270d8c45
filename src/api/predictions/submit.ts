import { randomUUID } from 'node:crypto';
import { forgetOldest } from '../../async/oldest-first.ts';
import type { Lane } from '../../broker/topology.ts';
import { AppError, InputError } from '../../errors.ts';
import type { Bound } from '../../ledger/bound.ts';
import { fingerprintOf, type ServedModel } from '../../models/served-model.ts';
import type { TaskStore } from '../../store/store.ts';
import type { Submission, Task } from '../../task/task.ts';
import type { Metrics } from '../../telemetry/metrics.ts';
import type { Tracing } from '../../telemetry/tracing.ts';
import { byteLengths, type Tensor } from '../../tensor/tensor.ts';
import { encodeFrame } from '../../tensor/tensor-frame.ts';
import type { Enqueue, Prepared } from './enqueue.ts';
import { type Hold, readTasks } from './results.ts';
import { contentOf, keyedTaskId } from './submission-id.ts';
import { untilTerminal } from './until-terminal.ts';

/** Keys whose task is known to be queued: repeated submissions by one key do not fill the queue with copies. */
const CONFIRMED_MAX = 10_000;

/** The most that the inputs of one task may take, as they are stored: as much as its outputs. */
export const INPUT_BYTES_MAX = 64 * 1024 * 1024;

/** Larger inputs go by the store: RabbitMQ copies what it carries to every member of the queue, several times. */
export const MESSAGE_INPUT_BYTES_MAX = 1024 * 1024;

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
  /** Whose share of the listeners waiting takes. @default owner */
  payer?: string | undefined;
  hold?: Hold;
  /** What the client calls its own span, as W3C Trace Context writes it. */
  traceparent?: string | undefined;
  /** The client has gone: nobody waits for the answer any more. The tasks run all the same. */
  signal?: AbortSignal | undefined;
}

/**
 * Queues all or none; resolves once the broker has confirmed every one (and, with `waitMs`, once they are terminal).
 * Rejects with INVALID_INPUT if inputs are larger than a task may have, with QUEUE_FULL, with STORE_FULL, or with `BrokerUnavailable` or
 * `StoreUnavailable`; nobody has an id then, and what was queued is withdrawn.
 */
export type Submit = (requests: readonly PredictionRequest[], context: SubmitContext) => Promise<Task[]>;

export function createSubmit(services: {
  store: TaskStore;
  enqueue: Enqueue;
  metrics: Metrics;
  tracing: Tracing;
  /** How many tasks may be waited for. */
  listeners?: Bound | undefined;
  /** @default MESSAGE_INPUT_BYTES_MAX */
  messageInputBytesMax?: number | undefined;
}): Submit {
  const { store, enqueue, metrics, tracing, listeners, messageInputBytesMax = MESSAGE_INPUT_BYTES_MAX } = services;
  const copying = new Map<string, Promise<void>>();
  /** By id, when the submission was made that is known to be queued: a store that has lost the record begins another. */
  const confirmed = new Map<string, number>();

  return async (requests, context) => {
    const { owner, idempotencyKey, waitMs, hold, traceparent: parent } = context;
    const attributes = () => ({ 'foretell.predictions': requests.length });
    const submissions = await tracing.span('submitPrediction', { kind: 'server', parent, attributes }, (span) =>
      counted(requests, () => accept(requests, { ...context, traceparent: span.traceparent })),
    );
    if (idempotencyKey === undefined && waitMs === 0) return submissions.map(queued);
    const ids = submissions.map(({ id }) => id);
    if (waitMs > 0) {
      const share = { bound: listeners, payer: context.payer ?? owner };
      await untilTerminal(store, ids, { ...context, share });
    }
    // They were accepted, so neither a store that is away nor results that are too large take the ids from the client.
    const tasks = await readTasks(store, ids, owner, hold).catch(withoutResults);
    return submissions.map((submission, i) => tasks[i] ?? queued(submission));
  };

  async function accept(requests: readonly PredictionRequest[], context: SubmitContext): Promise<Submission[]> {
    const submittedAt = Date.now();
    const prepared = requests.map((request) => {
      const payload = payloadOf(request, messageInputBytesMax);
      return { ...prepare(request, context, submittedAt), payload };
    });
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
    forgetOldest(confirmed, CONFIRMED_MAX);
  }
}

/** Gives a request its id. */
function prepare(
  { model, door, inputs }: PredictionRequest,
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
  return { model, submission, lane, inputs };
}

/** The inputs as the store keeps them, where a message should not carry them. Throws INVALID_INPUT if they are too large altogether. */
function payloadOf({ inputs, path }: PredictionRequest, messageInputBytesMax: number): Uint8Array | undefined {
  const bytes = byteLengths(inputs);
  if (bytes > INPUT_BYTES_MAX) {
    const message = `expected at most ${INPUT_BYTES_MAX} bytes of inputs, got ${bytes}`;
    throw new InputError('INVALID_INPUT', [{ path, message }]);
  }
  return bytes > messageInputBytesMax ? encodeFrame(null, inputs) : undefined;
}

function withoutResults(error: unknown): Task[] {
  if (error instanceof AppError) return [];
  throw error;
}

const queued = (submission: Submission): Task => ({ ...submission, state: 'QUEUED', attempts: 0, revision: 1 });
