import { StoreUnavailable } from '../errors.ts';
import type { Log } from '../process/log.ts';

/**
 * Runs a task one at a time: a call made while it runs gets the run after it, which it shares with every other such call. So
 * what a call resolves with was begun after the call, and an older run never finishes last.
 */
export function oneAtATime(task: () => Promise<void>): () => Promise<void> {
  let last: Promise<unknown> = Promise.resolve();
  let waiting: Promise<void> | undefined;
  return () => {
    waiting ??= last.then(() => {
      waiting = undefined;
      const run = task();
      last = run.catch(() => undefined);
      return run;
    });
    return waiting;
  };
}

/** A task that nobody waits for: an outage is logged by the connection and mended by the next run; anything else is a bug. */
export function inBackground(run: () => Promise<void>, log: Log): () => void {
  return () => {
    run().catch((err: unknown) => {
      if (!(err instanceof StoreUnavailable)) log.error({ err }, 'background task failed');
    });
  };
}
