import { setTimeout as sleep } from 'node:timers/promises';
import { StoreUnavailable } from '../src/errors.ts';
import type { Log } from '../src/log.ts';
import type { TaskStore } from '../src/store/store.ts';
import type { Change } from '../src/task.ts';

/** Pause before a store that could not be reached is tried again: doubled each time, with jitter. */
const RETRY_DELAY_MS = 100;
const RETRY_DELAY_MS_MAX = 2_000;

/** A store outage is nobody's attempt: whoever has something to write waits with it until the store is back. */
export interface PatientStore {
  /** Like `TaskStore.transition`, but rejects with `StoreUnavailable` only once `signal` has aborted or the worker closes. */
  transition(id: string, change: Change, signal: AbortSignal): Promise<number | undefined>;
  /** Whether somebody is waiting for the store: new work is better not begun. */
  isAway(): boolean;
}

/** `onBack` is called when work may be begun again. */
export function createPatientStore(options: {
  store: Pick<TaskStore, 'transition'>;
  closing: AbortSignal;
  onBack: () => void;
  log: Log;
}): PatientStore {
  const { store, closing, onBack, log } = options;
  let away = false;
  let waiting = 0;

  async function attempt(id: string, change: Change): Promise<number | undefined> {
    const attempts = await store.transition(id, change);
    if (away) {
      log.info({ waiting }, 'store available again');
      goOn();
    }
    return attempts;
  }

  async function retry(id: string, change: Change, ended: AbortSignal): Promise<number | undefined> {
    for (let delayMs = RETRY_DELAY_MS; ; delayMs = Math.min(2 * delayMs, RETRY_DELAY_MS_MAX)) {
      // Cut short by `ended`; what follows is then the last try.
      await sleep(delayMs * (0.5 + Math.random() / 2), undefined, { signal: ended }).catch(() => {});
      try {
        return await attempt(id, change);
      } catch (error) {
        if (!(error instanceof StoreUnavailable) || ended.aborted) throw error;
      }
    }
  }

  function goOn(): void {
    away = false;
    onBack();
  }

  return {
    isAway: () => away,
    async transition(id, change, signal) {
      try {
        return await attempt(id, change);
      } catch (error) {
        if (!(error instanceof StoreUnavailable)) throw error;
        if (!away) log.warn({ err: error }, 'store unavailable, holding tasks');
      }
      away = true;
      waiting += 1;
      try {
        return await retry(id, change, AbortSignal.any([signal, closing]));
      } finally {
        waiting -= 1;
        // Nobody is left who would notice that the store is back: the next task has to find out.
        if (away && waiting === 0) goOn();
      }
    },
  };
}
