import { AppError, ifUnavailable, Overloaded } from '../../errors.ts';
import type { TaskStore } from '../../store/store.ts';
import { endedBy } from '../../task/record.ts';
import { submissionOf } from '../../task/submission.ts';
import {
  isEnded,
  isTerminal,
  type ModelReference,
  type Submission,
  type Task,
  type TaskEnded,
} from '../../task/task.ts';
import { type Hold, outputBytes, READ_MAX } from './results.ts';
import { type StreamShare, TaskStream } from './task-stream.ts';

/** Readings that find no record before an unfinished task is given up: some five minutes, in which a worker recreates it. */
export const MISSING_MAX = 30;

/**
 * Each of the tasks once, as it reaches its terminal state, then the end; before that, if some had ended and expired before they
 * were read, one error that names them. Never misses one: the listener is registered,
 * *then* the state is read, and it is read again whenever the store says that events may have been missed.
 */
export class Completions extends TaskStream<Task | AppError> {
  readonly #store: TaskStore;
  readonly #owner: string;
  /** Not delivered yet, and how often no record was found. */
  readonly #open: Map<string, number>;
  /** Of those, the ones whose record is to be read, because they are or may be terminal. */
  readonly #due = new Set<string>();
  /** Known to be terminal, though not read yet. */
  readonly #ended = new Set<string>();
  /** Ended, and expired before they were read. */
  readonly #gone: string[] = [];
  /** To be given out; an error in place of a task whose result there is no room for. */
  readonly #ready: (Task | AppError)[] = [];
  readonly #hold: Hold;
  /** What the results take that are to be given out, the one before them included until it is written. */
  #readyBytes = 0;
  #heldBytes = 0;
  /** What was known of each when the stream was opened, and never changes. */
  readonly #submissions = new Map<string, Submission>();

  private constructor(store: TaskStore, ids: readonly string[], owner: string, share: StreamShare) {
    super(store, share, new Set(ids).size);
    this.#store = store;
    this.#hold = share.hold ?? (() => undefined);
    this.#owner = owner;
    this.#open = new Map(ids.map((id) => [id, 0]));
    for (const id of ids) {
      this.watch(id, (event) => {
        if (event === 'reread') this.#due.add(id);
        else if (isEnded(event)) this.#onEnded(event);
      });
    }
  }

  /** Rejects with RATE_LIMITED, or with UNKNOWN_TASK, naming them, if `result` would not find some of the tasks for this owner. */
  static async open(
    store: TaskStore,
    ids: readonly string[],
    owner: string,
    share: StreamShare = { payer: owner },
  ): Promise<Completions> {
    const stream = new Completions(store, ids, owner, share);
    try {
      if (ids.length === 1) await stream.#openOne(ids[0] ?? '');
      else await stream.#openAll(ids);
      return stream;
    } catch (error) {
      await stream.return();
      throw error;
    }
  }

  /** Some at a time: a thousand records hold the event loop for a tenth of a second, and others are answered in between. */
  async #openAll(ids: readonly string[]): Promise<void> {
    const share = createSharing();
    const unknown: string[] = [];
    for (let i = 0; i < ids.length; i += READ_MAX) {
      const some = ids.slice(i, i + READ_MAX);
      const heads = await this.#store.heads(some, this.#owner);
      unknown.push(...some.filter((_, at) => !heads[at]));
      for (const head of heads) {
        if (!head) continue;
        if (isTerminal(head.state)) this.#markEnded(head.id);
        // Its end may have been told meanwhile.
        else if (this.#open.has(head.id)) this.#submissions.set(head.id, share(head));
      }
    }
    if (unknown.length > 0) throw unknownTask(unknown);
  }

  /** One alone is read with its result, which is often there by then. */
  async #openOne(id: string): Promise<void> {
    const [task] = await this.#store.get([id], this.#owner);
    if (!task) throw unknownTask([id]);
    this.#submissions.set(id, task);
    if (isTerminal(task.state)) this.#receive(task);
  }

  protected async take(): Promise<Task | AppError | 'wait' | undefined> {
    // What was given out last is written by now.
    if (this.#heldBytes !== this.#readyBytes) this.#holdNow(this.#readyBytes);
    if (this.#ready.length === 0 && this.#due.size > 0) await this.#readDue();
    const task = this.#ready.shift();
    if (task && !(task instanceof AppError)) this.#readyBytes -= outputBytes(task);
    if (task) return task;
    if (this.#due.size > 0) return this.take();
    if (this.#open.size > 0) return 'wait';
    return this.#gone.length > 0 ? unknownTask(this.#gone.splice(0)) : undefined;
  }

  /** What is told of an end need not be read, which would double the time that it takes here. No more are kept for a slow client than are read at a time. */
  #onEnded(event: TaskEnded): void {
    const submission = this.#ready.length < READ_MAX ? this.#submissions.get(event.id) : undefined;
    const ended = submission && endedBy(event, submission);
    if (ended) this.#receive(ended);
    else this.#markEnded(event.id);
  }

  /**
   * Keeps a task with its result to give it out. Where there is no room, it is read again once what is kept is written, or, with nothing kept, has an
   * error in its place.
   */
  #receive(task: Task): void {
    if (!this.#open.has(task.id)) return;
    const bytes = outputBytes(task);
    try {
      this.#holdNow(this.#heldBytes + bytes);
    } catch (error) {
      if (!(error instanceof Overloaded)) throw error;
      if (this.#heldBytes > 0) this.#markEnded(task.id);
      else this.#push(task.id, noRoom(task, error));
      return;
    }
    this.#readyBytes += bytes;
    this.#push(task.id, task);
  }

  #holdNow(bytes: number): void {
    this.#hold(bytes);
    this.#heldBytes = bytes;
  }

  #push(id: string, item: Task | AppError): void {
    this.#ready.push(item);
    this.#settle(id);
  }

  #markEnded(id: string): void {
    this.#ended.add(id);
    this.#due.add(id);
  }

  /**
   * A few at a time: a slow client holds no more in memory, however many tasks it waits for.
   * A store that is away is no reason to end the stream: it says `reread` when it is back.
   */
  async #readDue(): Promise<void> {
    const ids = [...this.#due].slice(0, READ_MAX);
    for (const id of ids) this.#due.delete(id);
    const tasks = await this.#store.get(ids, this.#owner).catch(ifUnavailable(undefined));
    if (!tasks) return;
    // Large results are fewer at a time.
    for (const id of ids.slice(tasks.length)) if (this.#open.has(id)) this.#due.add(id);
    for (const [i, task] of tasks.entries()) {
      if (!task) this.#missing(ids[i] ?? '');
      else if (isTerminal(task.state)) this.#receive(task);
    }
  }

  /** A record that a store lost comes back from its message, unless the task had ended: then nobody will bring it back. */
  #missing(id: string): void {
    const before = this.#open.get(id);
    if (before === undefined) return;
    const times = before + 1;
    this.#open.set(id, times);
    if (!this.#ended.has(id) && times < MISSING_MAX) return;
    this.#gone.push(id);
    this.#settle(id);
  }

  #settle(id: string): void {
    this.#open.delete(id);
    this.#submissions.delete(id);
    // Its event may have come while it was being read.
    this.#due.delete(id);
    this.unwatch(id);
  }
}

/** Of tasks that were submitted alike, which most of a stream are, what they have in common is kept once. */
function createSharing(): (submission: Submission) => Submission {
  const models = new Map<string, ModelReference>();
  return (of) => {
    const { fingerprint } = of.model;
    const model = models.get(fingerprint) ?? of.model;
    models.set(fingerprint, model);
    return { ...submissionOf(of), model };
  };
}

/** Characters of an id that an error shows: a UUID's. What was sent as an id may be megabytes. */
const SHOWN_LENGTH_MAX = 36;

export function unknownTask(ids: readonly string[]): AppError {
  const shown = ids.map((id) => (id.length > SHOWN_LENGTH_MAX ? `${id.slice(0, SHOWN_LENGTH_MAX)}…` : id));
  return new AppError('UNKNOWN_TASK', `no such task: ${shown.join(', ')}`);
}

/** In place of a task in a stream; its result can be asked for later. */
export function noRoom({ id }: Task, { message, retryAfterMs }: Overloaded): Overloaded {
  return new Overloaded(`the result of task ${id} cannot be sent: ${message}`, retryAfterMs);
}
