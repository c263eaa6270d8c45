import { randomUUID } from 'node:crypto';
import type { Broker, BrokerMessage } from './broker/broker.ts';
import { encodeMessage } from './broker/message.ts';
import { MESSAGE_BYTES_MAX, predictionQueue } from './broker/topology.ts';
import { Completions, unknownTask } from './completions.ts';
import { AppError, InputError, ifUnavailable } from './errors.ts';
import type { Log } from './log.ts';
import { fingerprintOf, type ServedModel } from './models/served-model.ts';
import type { TaskStore } from './store/store.ts';
import type { Submission, Task } from './task.ts';
import type { Tensor } from './tensor.ts';
import { Updates } from './updates.ts';

/** Results read at a time: each reading has to come within the store's time. */
const READ_MAX = 100;

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
  /** Synchronous use: how long the answer may be held until the tasks are terminal. */
  waitMs: number;
  /** The client has gone: nobody waits for the answer any more. The tasks run all the same. */
  signal?: AbortSignal | undefined;
}

/** The service: all that resolvers call. Every method sees only the tasks of `owner`. */
export interface Predictions {
  /**
   * Queues all or none; resolves once the broker has confirmed every one (and, with `waitMs`, once they are terminal).
   * Rejects with INVALID_INPUT if a message would be too large for the broker; with `BrokerUnavailable` or `StoreUnavailable`; nobody has an id then, and what was queued is withdrawn.
   */
  submit(requests: readonly PredictionRequest[], context: SubmitContext): Promise<Task[]>;
  get(ids: readonly string[], owner: string): Promise<(Task | undefined)[]>;
  /** A task that was terminal is returned as it is. Rejects with UNKNOWN_TASK. */
  cancel(id: string, owner: string): Promise<Task>;
  /** Each task as it ends; an error in place of those that ended and expired before they could be told. Rejects with UNKNOWN_TASK. */
  completions(ids: readonly string[], owner: string): Promise<AsyncIterableIterator<Task | AppError>>;
  updates(id: string, owner: string): Promise<AsyncIterableIterator<Task>>;
}

export function createPredictions({ broker, store, log }: { broker: Broker; store: TaskStore; log: Log }): Predictions {
  const get = async (ids: readonly string[], owner: string) => {
    const tasks: (Task | undefined)[] = [];
    for (let i = 0; i < ids.length; i += READ_MAX) tasks.push(...(await store.get(ids.slice(i, i + READ_MAX))));
    return tasks.map((task) => (task?.owner === owner ? task : undefined));
  };

  return {
    get,

    async submit(requests, { owner, waitMs, signal }) {
      const submittedAt = Date.now();
      const prepared = requests.map((request) => prepare(request, owner, submittedAt));
      const submissions = prepared.map(({ submission }) => submission);
      // The record first: an unknown id and a queued one must be different answers.
      await store.create(submissions);
      await publishAll(prepared);
      if (waitMs > 0) await waitUntilTerminal(submissions, owner, waitMs, signal);
      return waitMs > 0 ? readBack(submissions) : submissions.map(queued);
    },

    async cancel(id, owner) {
      const [head] = await store.heads([id]);
      if (head?.owner !== owner) throw unknownTask([id]);
      await store.transition(id, { to: 'CANCELLED', at: Date.now() });
      const [task] = await get([id], owner);
      if (!task) throw unknownTask([id]);
      return task;
    },

    completions: (ids, owner) => Completions.open(store, [...new Set(ids)], owner),
    updates: (id, owner) => Updates.open(store, id, owner),
  };

  async function publishAll(prepared: Prepared[]): Promise<void> {
    const published = await Promise.allSettled(prepared.map(({ queue, message }) => broker.publish(queue, message)));
    const refused = published.find((result) => result.status === 'rejected');
    if (!refused) return;
    await withdraw(prepared.map(({ submission }) => submission));
    throw refused.reason;
  }

  /** Leaves tombstones, never deletes: a message that was not confirmed may still arrive, and must then be dropped. */
  async function withdraw(submissions: Submission[]): Promise<void> {
    const at = Date.now();
    const results = await Promise.allSettled(
      submissions.map(({ id }) => store.transition(id, { to: 'WITHDRAWN', at })),
    );
    const failed = results.filter(({ status }) => status === 'rejected').length;
    // Such a task may still run. Nobody has its id, so all it costs is the run.
    if (failed > 0) log.warn({ failed }, 'refused submissions could not be withdrawn');
  }

  async function waitUntilTerminal(submissions: Submission[], owner: string, waitMs: number, signal?: AbortSignal) {
    const ids = submissions.map(({ id }) => id);
    const stream = await Completions.open(store, ids, owner).catch((error: unknown) => {
      // The tasks were accepted, so whatever the wait meets, the client is given their ids.
      if (error instanceof AppError) return undefined;
      throw error;
    });
    if (!stream) return;
    const stop = () => void stream.return();
    const timer = setTimeout(stop, waitMs);
    signal?.addEventListener('abort', stop, { once: true });
    if (signal?.aborted) stop();
    try {
      while (!(await stream.next()).done);
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener('abort', stop);
      stop();
    }
  }

  /** The tasks as they now are. They were accepted, so a store that is away does not take their ids from the client. */
  async function readBack(submissions: Submission[]): Promise<Task[]> {
    const ids = submissions.map(({ id }) => id);
    const tasks = await get(ids, submissions[0]?.owner ?? '').catch(ifUnavailable<(Task | undefined)[]>([]));
    return submissions.map((submission, i) => tasks[i] ?? queued(submission));
  }
}

interface Prepared {
  submission: Submission;
  queue: string;
  message: BrokerMessage;
}

/** Gives a request its id and its message. Throws INVALID_INPUT if that is more than the broker carries. */
function prepare({ model, door, inputs, path }: PredictionRequest, owner: string, submittedAt: number): Prepared {
  const { name, version } = model;
  const reference = { name, version, fingerprint: fingerprintOf(model) };
  const submission: Submission = { id: randomUUID(), owner, model: reference, door, submittedAt };
  const body = encodeMessage({ submission, inputs });
  if (body.length > MESSAGE_BYTES_MAX) {
    const message = `expected at most ${MESSAGE_BYTES_MAX} bytes of inputs, got ${body.length}`;
    throw new InputError('INVALID_INPUT', [{ path, message }]);
  }
  return {
    submission,
    queue: predictionQueue(name, 'normal'),
    message: { id: submission.id, body, attemptsBefore: 0 },
  };
}

const queued = (submission: Submission): Task => ({ ...submission, state: 'QUEUED', attempts: 0 });
