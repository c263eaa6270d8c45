import { type AppError, ifUnavailable, Overloaded } from '../../errors.ts';
import type { TaskStore } from '../../store/store.ts';
import { endedBy } from '../../task/record.ts';
import { isEnded, isTerminal, type Task, type TaskEvent } from '../../task/task.ts';
import { MISSING_MAX, noRoom, unknownTask } from './completions.ts';
import { type Hold, outputBytes } from './results.ts';
import { type StreamShare, TaskStream } from './task-stream.ts';

/**
 * The state of one task, then every change of it up to the terminal one; or an error in its place, if the task had ended and
 * expired before it was read, or its record is lost and nobody brings it back.
 */
export class Updates extends TaskStream<Task | AppError> {
  readonly #store: TaskStore;
  readonly #events: (TaskEvent | 'reread')[] = [];
  readonly #id: string;
  readonly #owner: string;
  #last: Task | undefined;
  #first: Task | undefined;
  /** Readings that found no record. */
  #missing = 0;
  #hasEnded = false;
  #isGone = false;

  readonly #hold: Hold;

  private constructor(store: TaskStore, id: string, owner: string, share: StreamShare) {
    super(store, share, 1);
    this.#hold = share.hold ?? (() => undefined);
    this.#store = store;
    this.#id = id;
    this.#owner = owner;
    this.watch(id, (event) => {
      // To read it once more says nothing new: a client that does not read its stream leaves no more here than the task has changes.
      if (event !== 'reread' || this.#events.at(-1) !== 'reread') this.#events.push(event);
    });
  }

  /** Rejects with RATE_LIMITED, or with UNKNOWN_TASK if `result` would not find the task for this owner. */
  static async open(
    store: TaskStore,
    id: string,
    owner: string,
    share: StreamShare = { payer: owner },
  ): Promise<Updates> {
    const stream = new Updates(store, id, owner, share);
    try {
      const [task] = await store.get([id], owner);
      if (!task) throw unknownTask([id]);
      stream.#first = task;
      return stream;
    } catch (error) {
      await stream.return();
      throw error;
    }
  }

  protected async take(): Promise<Task | AppError | 'wait' | undefined> {
    if (this.#isGone || (this.#last && isTerminal(this.#last.state))) return undefined;
    const first = this.#first;
    if (first) {
      this.#first = undefined;
      return this.#tell(first);
    }
    for (let event = this.#events.shift(); event; event = this.#events.shift()) {
      const task = await this.#after(event);
      if (this.#isGone) return unknownTask([this.#id]);
      // Events that the first read had already seen, or that came twice, are behind.
      if (!task || (this.#last && !isNews(task, this.#last))) continue;
      return this.#tell(task);
    }
    return 'wait';
  }

  /** The task, or an error in its place where there is no room for its result. */
  #tell(task: Task): Task | AppError {
    this.#last = task;
    try {
      this.#hold(outputBytes(task));
      return task;
    } catch (error) {
      if (!(error instanceof Overloaded)) throw error;
      const { result: _, ...rest } = task;
      this.#last = rest;
      return noRoom(task, error);
    }
  }

  /** The task as the event left it; a terminal one is read for its result, unless the event tells it. */
  async #after(event: TaskEvent | 'reread'): Promise<Task | undefined> {
    const last = this.#last;
    if (event !== 'reread' && last && !isEnded(event)) {
      const { startedAt: _, ...rest } = last;
      const task: Task = { ...rest, state: event.state, attempts: event.attempts, revision: event.revision };
      return event.state === 'RUNNING' ? { ...task, startedAt: event.at } : task;
    }
    const ended = event !== 'reread' && isEnded(event) && last && endedBy(event, last);
    if (ended) return ended;
    // A store that is away says `reread` when it is back.
    const read = await this.#store.get([this.#id], this.#owner).catch(ifUnavailable(undefined));
    const task = read?.[0];
    this.#hasEnded ||= event !== 'reread' && isEnded(event);
    if (read && !task) this.#missing += 1;
    // A record that a store lost comes back from its message, unless the task had ended: then nobody will bring it back.
    if (read && !task) this.#isGone = this.#hasEnded || this.#missing >= MISSING_MAX;
    return task;
  }
}

/** A terminal state is the last, whatever a store that has lost the record and begun to count anew says of it. */
function isNews(task: Task, last: Task): boolean {
  if (isTerminal(task.state)) return true;
  return task.revision > last.revision || (task.revision === last.revision && task.state !== last.state);
}
