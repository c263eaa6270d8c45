import { setTimeout as sleep } from 'node:timers/promises';
import { createAbortListeners } from '../../src/async/abort-listeners.ts';
import { backOffMs } from '../../src/async/back-off.ts';
import { createListeners } from '../../src/async/listeners.ts';
import { StoreFull, StoreUnavailable } from '../../src/errors.ts';
import type { Log } from '../../src/process/log.ts';
import type { TaskStore } from '../../src/store/store.ts';

/** Pause before a store that could not be reached is tried again: doubled each time. */
const RETRY = { minMs: 100, maxMs: 2_000 };

/** A store outage is nobody's attempt: whoever has something to read or to write waits with it until the store is back. */
export interface PatientStore {
  /**
   * Asks the store, again and again while it is away; rejects with `StoreUnavailable` only after one of the signals has aborted. They are
   * looked up anew before each pause and after each try, since a task may have come again by another delivery. What is asked must be such
   * that it may be carried out twice: an answer may be lost.
   */
  ask<T>(question: (store: TaskStore) => Promise<T>, signals: () => AbortSignal[]): Promise<T>;
  /** Whether somebody is waiting for the store: new work is better not begun. */
  isAway(): boolean;
  /** Calls `listener` when work may be begun again; returns the function that ends it. */
  onBack(listener: () => void): () => void;
}

/** `over` ends every wait at once, that for an answer as well. */
export function createPatientStore(options: { store: TaskStore; over: AbortSignal; log: Log }): PatientStore {
  const { store, over, log } = options;
  const back = createListeners();
  const unlessOver = createUnlessAborted(over);
  let away = false;
  let waiting = 0;

  function answered<T>(answer: T): T {
    if (away) {
      log.info({ waiting }, 'store available again');
      goOn();
    }
    return answer;
  }

  /** What the first try did not give: asked again until it is there, or one of the signals aborts. */
  async function outlast<T>(
    error: unknown,
    question: (store: TaskStore) => Promise<T>,
    signals: () => AbortSignal[],
  ): Promise<T> {
    if (!(error instanceof StoreUnavailable) || over.aborted) throw error;
    // A store that is full may well take what others have to write.
    if (error instanceof StoreFull) {
      answered(undefined);
      if (waiting === 0) log.warn({ err: error }, 'store full, holding tasks that do not fit');
    } else {
      if (!away) log.warn({ err: error }, 'store unavailable, holding tasks');
      away = true;
    }
    waiting += 1;
    try {
      return await retry(question, () => [...signals(), over]);
    } finally {
      waiting -= 1;
      // Nobody is left who would notice that the store is back: the next task has to find out.
      if (away && waiting === 0) goOn();
    }
  }

  async function retry<T>(question: (store: TaskStore) => Promise<T>, signals: () => AbortSignal[]): Promise<T> {
    for (let failures = 0; ; failures += 1) {
      const signal = AbortSignal.any(signals());
      // Cut short by the signal; what follows is then the last try.
      await sleep(backOffMs(RETRY, failures), undefined, { signal }).catch(() => {});
      try {
        return answered(await unlessOver(question(store)));
      } catch (error) {
        if (!(error instanceof StoreUnavailable) || signals().some(({ aborted }) => aborted)) throw error;
        // It answers: whoever waited for it to be back may go on.
        if (error instanceof StoreFull) answered(undefined);
      }
    }
  }

  function goOn(): void {
    away = false;
    back.call();
  }

  return {
    isAway: () => away,
    onBack: back.add,
    // Twice for each task, and nearly always answered at once: no more is made for it than that takes.
    ask: (question, signals) =>
      unlessOver(question(store)).then(answered, (error: unknown) => outlast(error, question, signals)),
  };
}

/** Rejects with `StoreUnavailable` once the signal aborts, if there is no answer by then. */
export function unlessAborted<T>(answer: Promise<T>, over: AbortSignal): Promise<T> {
  return createUnlessAborted(over)(answer);
}

function createUnlessAborted(over: AbortSignal): <T>(answer: Promise<T>) => Promise<T> {
  const onAbort = createAbortListeners();
  return (answer) =>
    new Promise((resolve, reject) => {
      const forget = onAbort(over, () => reject(new StoreUnavailable('the worker no longer waits for the store')));
      // Not by `finally`, which makes several promises more.
      answer.then(
        (value) => {
          forget();
          resolve(value);
        },
        (error: unknown) => {
          forget();
          reject(error);
        },
      );
    });
}
