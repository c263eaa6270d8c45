import { setTimeout as sleep } from 'node:timers/promises';
import { ifUnavailable } from '../errors.ts';

/** One reading for all who ask meanwhile: a broker that hangs is not asked again. `undefined` after `waitMs`, or in an outage. */
export function oneReading<T>(read: () => Promise<T>, waitMs: number): () => Promise<T | undefined> {
  let reading: Promise<T | undefined> | undefined;
  return async () => {
    reading ??= read()
      .catch(ifUnavailable(undefined))
      .finally(() => {
        reading = undefined;
      });
    const waited = new AbortController();
    const late = sleep(waitMs, undefined, { signal: waited.signal }).catch(() => undefined);
    try {
      return await Promise.race([reading, late]);
    } finally {
      waited.abort();
    }
  };
}
