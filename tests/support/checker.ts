import { isDeepStrictEqual } from 'node:util';

/** A tensor as the API writes it, bit by bit. */
export interface Output {
  name: string;
  datatype: string;
  shape: number[];
  base64: string;
}

/** What the checker is told of a task that has ended, or has not. */
export interface Observed {
  id: string;
  state: string;
  completedAt: string | null;
  prediction: { outputs?: Output[] } | null;
}

/** What has to become of a submission. */
export interface Due {
  /** What the model makes of it, known without asking the service; nothing of what cannot succeed. */
  outputs: readonly Output[];
  /** How it may end. @default SUCCEEDED alone */
  states?: readonly string[];
}

/** RabbitMQ's Jepsen tests count these but the last. */
export const FAULTS = ['lost', 'duplicated', 'unexpected', 'wrong'] as const;
export type Fault = (typeof FAULTS)[number];

export type Counts = Record<'accepted' | 'refused' | Fault, number>;

/** A subscription, as it reports to the checker. */
export interface Told {
  /** It begins, or begins anew after its stream was cut: what it was told before may be told again. */
  began(): void;
  completed(task: Observed): void;
  /** It was answered with an error, and does not come back. */
  gaveUp(why: string): void;
}

/**
 * Compares what a service did with what it promised: each id that it gave out ends in one terminal state, with one stored result,
 * the model's own, and with one event in every subscription to it.
 *
 * - **lost**: given out, and not terminal in the store at the end; or a subscription that was never told.
 * - **duplicated**: told twice in one stream; or a terminal state, a time of completion or a result that changed.
 * - **unexpected**: an event or a record of an id that was not given out, or not asked for; an event before the end; an end that is not due.
 * - **wrong**: a result that is not the model's own.
 */
export class Checker {
  readonly #accepted = new Map<string, Due>();
  readonly #refusedAfterMs: number[] = [];
  readonly #subscriptions: { ids: ReadonlySet<string>; told: Set<string>; fate: string }[] = [];
  readonly #stored = new Map<string, Observed | null>();
  /** How a task ended, by what was seen first. */
  readonly #ends = new Map<string, Observed>();
  /** Sentences on what was found while it happened. */
  readonly #found: Record<Fault, string[]> = { lost: [], duplicated: [], unexpected: [], wrong: [] };

  /** The service has given out an id. */
  accepted(id: string, due: Due): void {
    if (this.#accepted.has(id)) this.#found.duplicated.push(`${id} was given out twice`);
    this.#accepted.set(id, due);
  }

  /** The service has said no. */
  refused(afterMs: number): void {
    this.#refusedAfterMs.push(afterMs);
  }

  /** Milliseconds until the slowest no. */
  slowestRefusalMs(): number {
    return Math.max(0, ...this.#refusedAfterMs);
  }

  ids(): string[] {
    return [...this.#accepted.keys()];
  }

  /** Somebody subscribes to the completion of these. */
  subscribed(ids: readonly string[]): Told {
    const subscription = { ids: new Set(ids), told: new Set<string>(), fate: 'asked' };
    this.#subscriptions.push(subscription);
    let inThisStream = new Set<string>();
    return {
      began: () => {
        inThisStream = new Set();
      },
      completed: (task) => {
        if (inThisStream.has(task.id)) this.#found.duplicated.push(`${task.id} was told twice in one stream`);
        inThisStream.add(task.id);
        subscription.told.add(task.id);
        if (!subscription.ids.has(task.id)) this.#found.unexpected.push(`${task.id} was told, and not asked for`);
        if (!isEnded(task)) this.#found.unexpected.push(`${task.id} was told as completed while ${task.state}`);
        else this.#ended(task);
      },
      gaveUp: (why) => {
        subscription.fate = `gave up: ${why}`;
      },
    };
  }

  /** What the service says of an id at the end. */
  stored(id: string, task: Observed | null): void {
    this.#stored.set(id, task);
    if (task && isEnded(task)) this.#ended(task);
  }

  /** Each fault, as a sentence. */
  faults(): Record<Fault, string[]> {
    const unstored = this.ids().flatMap((id) => {
      const task = this.#stored.get(id);
      return isEnded(task) ? [] : `${id} is ${task?.state ?? 'unknown'} at the end`;
    });
    const untold = this.#subscriptions.flatMap(({ ids, told, fate }) =>
      [...ids].flatMap((id) => (told.has(id) ? [] : `${id} was not told to one who ${fate}`)),
    );
    return { ...this.#found, lost: [...this.#found.lost, ...unstored, ...untold] };
  }

  counts(): Counts {
    const { lost, duplicated, unexpected, wrong } = this.faults();
    return {
      accepted: this.#accepted.size,
      refused: this.#refusedAfterMs.length,
      lost: lost.length,
      duplicated: duplicated.length,
      unexpected: unexpected.length,
      wrong: wrong.length,
    };
  }

  #ended(task: Observed): void {
    const { id, state, completedAt, prediction } = task;
    const before = this.#ends.get(id);
    if (before && isSameEnd(before, task)) return;
    if (before) {
      const ends = `${before.state} at ${before.completedAt}, then ${state} at ${completedAt}`;
      this.#found.duplicated.push(`${id} ended twice: ${ends}`);
    }
    this.#ends.set(id, task);
    const due = this.#accepted.get(id);
    if (!due) {
      this.#found.unexpected.push(`${id} is ${state}, and was never given out`);
    } else if (!(due.states ?? ['SUCCEEDED']).includes(state)) {
      this.#found.unexpected.push(`${id} is ${state}`);
    } else if (state === 'SUCCEEDED' && !isDeepStrictEqual(prediction?.outputs, due.outputs)) {
      this.#found.wrong.push(`${id}: expected ${JSON.stringify(due.outputs)}, got ${JSON.stringify(prediction)}`);
    }
  }
}

/** Whether a task that was read is there, and terminal. */
export function isEnded(task: Observed | null | undefined): boolean {
  return task !== null && task !== undefined && task.state !== 'QUEUED' && task.state !== 'RUNNING';
}

function isSameEnd(a: Observed, b: Observed): boolean {
  const endOf = ({ state, completedAt, prediction }: Observed) => ({ state, completedAt, prediction });
  return isDeepStrictEqual(endOf(a), endOf(b));
}
