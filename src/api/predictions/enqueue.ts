import type { Broker } from '../../broker/broker.ts';
import { encodeMessage, type PredictionMessage } from '../../broker/message.ts';
import { EXCHANGE, type Lane, predictionQueue } from '../../broker/topology.ts';
import { InputError, StoreFull } from '../../errors.ts';
import type { ServedModel } from '../../models/served-model.ts';
import { type Sharings, sharedBatchOf } from '../../models/sharing.ts';
import type { Log } from '../../process/log.ts';
import type { Deadlines } from '../../store/deadlines.ts';
import type { Payloads } from '../../store/payloads.ts';
import { allocatedBytes, RECORD_BYTES, type StoreRoom } from '../../store/room.ts';
import type { TaskStore } from '../../store/store.ts';
import type { Submission } from '../../task/task.ts';
import type { Tracing } from '../../telemetry/tracing.ts';
import { messageAttributes } from '../../telemetry/tracing-attributes.ts';
import type { Tensor } from '../../tensor/tensor.ts';
import type { Admission } from './admission.ts';

/**
 * Tasks that may share a run may travel as one message, which stays until the last of them is through: half an hour at most. Who is given it again must find
 * that the others have ended, so they go one by one where results are kept for less than this.
 */
const TOGETHER_TTL_MS_MIN = 60 * 60_000;

/** A submission that is ready to be queued. */
export interface Prepared {
  model: ServedModel;
  submission: Submission;
  lane: Lane;
  inputs: Tensor[];
  /** The inputs as a frame, where they are too large for the message. */
  payload?: Uint8Array | undefined;
}

export interface Enqueue {
  /** Queues all or none; what was queued before the broker refused one is withdrawn. */
  all(prepared: readonly Prepared[]): Promise<void>;
  /** Queues a copy of a task that others may submit as well, or may have submitted; they are told apart by the claim. */
  copy(prepared: Prepared): Promise<void>;
}

export interface EnqueueServices {
  broker: Broker;
  store: TaskStore;
  deadlines: Deadlines;
  payloads: Payloads;
  registry: Pick<Sharings, 'sharing'>;
  room: StoreRoom;
  admission: Admission;
  tracing: Tracing;
  log: Log;
  /** Milliseconds that a task is kept from its terminal state on. */
  resultTtlMs: number;
}

/** The way into the queue: admission by queue and by store, then the record, then the deadline, then large inputs, then the message, confirmed. */
export function createEnqueue(services: EnqueueServices): Enqueue {
  const { store, deadlines, registry, room, admission, resultTtlMs } = services;
  const publish = createPublish(services);
  const mayGoTogether = resultTtlMs >= TOGETHER_TTL_MS_MIN;

  return {
    all: (prepared) =>
      admitted(prepared, async () => {
        const submissions = prepared.map(({ submission }) => submission);
        // The record first: an unknown id and a queued one must be different answers.
        await store.create(submissions);
        await remember(submissions).catch(async (error: unknown) => {
          if (error instanceof StoreFull) await withdraw(submissions, services);
          throw error;
        });
        const published = await Promise.allSettled(
          prepared.map((one) => {
            // Large inputs count when they are fetched, and a worker may not have room for several.
            const maxBatch = mayGoTogether && !one.payload ? sharedBatchOf(registry, one.model) : 1;
            return publish(one, one.submission, maxBatch);
          }),
        );
        const refused = published.find((result) => result.status === 'rejected');
        if (!refused) return;
        await withdraw(submissions, services);
        throw refused.reason;
      }),

    copy: (prepared) =>
      admitted([prepared], async () => {
        const { submission: own } = prepared;
        await store.create([own]);
        const [found] = await store.get([own.id]);
        if (found && found.state !== 'QUEUED') return;
        const first = found ?? own;
        const isAlike = first.model.name === own.model.name && first.door === own.door;
        if (!isAlike || (first.content ?? own.content) !== own.content) throw otherContent();
        // Whichever copy is run, it is the first submission that counts, with its deadline and its version.
        await remember([first]);
        // Not withdrawn where this is refused: another submit of the same key may have been confirmed and given out the id.
        // If none was, the record waits for the next submit of that key; nobody has its id.
        await publish(prepared, first);
      }),
  };

  async function admitted(prepared: readonly Prepared[], queue: () => Promise<void>): Promise<void> {
    const settle = await admission.admit(prepared.map(({ model }) => model));
    let confirmed = false;
    let release: (() => void) | undefined;
    try {
      release = await room.take(prepared[0]?.submission.owner ?? '', storedBytes(prepared));
      await queue();
      confirmed = true;
    } finally {
      release?.();
      settle(confirmed);
    }
  }

  /** Before the message: a task that was queued without its deadline would wait for a worker to notice. */
  async function remember(submissions: readonly Submission[]): Promise<void> {
    const expiring = submissions.flatMap(({ id, expiresAt }) => (expiresAt === undefined ? [] : [{ id, expiresAt }]));
    if (expiring.length > 0) await deadlines.add(expiring);
  }
}

/** Publishes a message that says `first`: the submission that counts, where there are several of a task. Those go by themselves. */
type Publish = (prepared: Prepared, first: Submission, maxBatch?: number) => Promise<void>;

function createPublish({
  broker,
  payloads,
  tracing,
}: Pick<EnqueueServices, 'broker' | 'payloads' | 'tracing'>): Publish {
  /** Large inputs are stored before the message is published: a worker that gets it reads them. `undefined` if the task has ended meanwhile. */
  async function place(
    { inputs, payload }: Prepared,
    first: Submission,
  ): Promise<PredictionMessage['inputs'] | undefined> {
    if (!payload) return inputs;
    const bytes = await payloads.put(first, payload);
    return bytes === undefined ? undefined : { bytes };
  }

  return async (prepared, first, maxBatch = 1) => {
    const { model, lane, submission } = prepared;
    const inputs = await place(prepared, first);
    if (!inputs) return;
    const body = encodeMessage({ submission: first, inputs });
    const { id, traceparent: parent } = submission;
    const queue = predictionQueue(model.name, lane);
    const message = { id, body, attemptsBefore: 0, maxBatch };
    const attributes = () => messageAttributes({ operation: 'publish', exchange: EXCHANGE, queue, message });
    await tracing.span('publish', { kind: 'producer', parent, attributes }, ({ traceparent }) =>
      broker.publish(queue, { ...message, traceparent }),
    );
  };
}

/** Leaves tombstones, never deletes: a message that was not confirmed may still arrive, and must then be dropped. */
async function withdraw(submissions: readonly Submission[], { store, log }: EnqueueServices): Promise<void> {
  const at = Date.now();
  const results = await Promise.allSettled(submissions.map(({ id }) => store.transition(id, { to: 'WITHDRAWN', at })));
  const failed = results.filter(({ status }) => status === 'rejected').length;
  // Such a task may still run. Nobody has its id, so all it costs is the run.
  if (failed > 0) log.warn({ failed }, 'refused submissions could not be withdrawn');
}

/** What the submissions of one caller take of the store. */
function storedBytes(prepared: readonly Prepared[]): number {
  return prepared.reduce((sum, { payload }) => sum + RECORD_BYTES + allocatedBytes(payload?.byteLength ?? 0), 0);
}

/** It is not known that the first submission of the key was queued, and to queue this one would have either of them count. */
function otherContent(): InputError {
  const message = 'expected the model and the input that this key was first used with';
  return new InputError('INVALID_INPUT', [{ path: ['options', 'idempotencyKey'], message }]);
}
