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
