import { doubledMs } from '../../src/async/back-off.ts';

/** When something is tried again that failed for no fault of its own. */
export interface Retry {
  /** Milliseconds since 1970. */
  at: number;
  failures: number;
}

const RETRY_MS_MAX = 60_000;
/** A model that takes minutes to fail has a process to itself for so much of the time, and no more. */
const SHARE_MAX = 0.1;

/** The pause is doubled with each failure, and long beside what the attempt took. */
export function nextRetry(before: Retry | undefined, { tookMs, retryMs }: { tookMs: number; retryMs: number }): Retry {
  const failures = (before?.failures ?? 0) + 1;
  const delayMs = doubledMs({ minMs: retryMs, maxMs: RETRY_MS_MAX }, failures - 1);
  return { at: Date.now() + Math.max(delayMs, tookMs / SHARE_MAX), failures };
}
