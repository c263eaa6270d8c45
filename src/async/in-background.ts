import { StoreUnavailable } from '../errors.ts';
import type { Log } from '../process/log.ts';

/** A task that nobody waits for: an outage is logged by the connection and mended by the next run; anything else is a bug. */
export function inBackground(run: () => Promise<void>, log: Log): () => void {
  return () => {
    run().catch((err: unknown) => {
      if (!(err instanceof StoreUnavailable)) log.error({ err }, 'background task failed');
    });
  };
}
