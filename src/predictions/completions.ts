import { AppError, ifUnavailable } from '../errors.ts';
import { endedBy } from '../store/record.ts';
import type { TaskStore } from '../store/store.ts';
import { submissionOf } from '../submission.ts';
import { isTerminal, type ModelReference, type Submission, type Task, type TaskEvent } from '../task.ts';
import { READ_MAX } from './results.ts';
import { TaskStream } from './task-stream.ts';

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
  /** To be given out. */
  readonly #ready: Task[] = [];
  /** What was known of each when the stream was opened, and never changes. */
  readonly #submissions = new Map<string, Submission>();

  private constructor(store: TaskStore, ids: readonly string[], owner: string) {
    super();
    this.#store = store;
    this.#owner = owner;
    this.#open = new Map(ids.map((id) => [id, 0]));
    for (const id of ids) {
      this.watch(store, id, (event) => {
        if (event === 'reread') this.#due.add(id);
        else if (isTerminal(event.state)) this.#hear(event);
      });
    }
  }

  /** Rejects with RATE_LIMITED, or with UNKNOWN_TASK, naming them, if `result` would not find some of the tasks for this owner. */
  static async open(store: TaskStore, ids: readonly string[], owner: string): Promise<Completions> {
    TaskStream.makeRoom(store, ids.length);
    const stream = new Completions(store, ids, owner);
    try {
      if (ids.length === 1) await stream.#openOne(ids[0] ?? '');
      else await stream.#openAll(ids);
      return stream;
    } catch (error) {
      await stream.return();
      throw error;
    }
  }

  async #openAll(ids: readonly string[]): Promise<void> {
    const heads = await this.#store.heads(ids, this.#owner);
    const unknown = ids.filter((_, i) => !heads[i]);
    if (unknown.length > 0) throw unknownTask(unknown);
    const share = createSharing();
    for (const head of heads) {
      if (!head) continue;
      if (isTerminal(head.state)) this.#markEnded(head.id);
      else this.#submissions.set(head.id, share(head));
    }
  }

  /** One alone is read with its result, which is often there by then. */
  async #openOne(id: string): Promise<void> {
    const [task] = await this.#store.get([id], this.#owner);
    if (!task) throw unknownTask([id]);
    this.#submissions.set(id, task);
    if (isTerminal(task.state)) this.#push(task);
  }

  protected async take(): Promise<Task | AppError | 'wait' | undefined> {
    if (this.#ready.length === 0 && this.#due.size > 0) await this.#readDue();
    const task = this.#ready.shift();
    if (task) return task;
    if (this.#due.size > 0) return this.take();
    if (this.#open.size > 0) return 'wait';
    return this.#gone.length > 0 ? unknownTask(this.#gone.splice(0)) : undefined;
  }

  /** What is told of an end need not be read, which would double the time that it takes here. No more are kept for a slow client than are read at a time. */
  #hear(event: TaskEvent): void {
    const submission = this.#ready.length < READ_MAX ? this.#submissions.get(event.id) : undefined;
    const ended = submission && endedBy(event, submission);
    if (ended) this.#push(ended);
    else this.#markEnded(event.id);
  }

  /** It may have been read while it was told of. */
  #push(task: Task): void {
    if (!this.#open.has(task.id)) return;
    this.#ready.push(task);
    this.#settle(task.id);
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
      else if (isTerminal(task.state)) this.#push(task);
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
