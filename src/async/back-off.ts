/** Pauses before something that failed is tried again: the first one at least, and the longest one. */
export interface BackOff {
  minMs: number;
  maxMs: number;
}

/** Doubled with each failure in a row. */
export function doubledMs({ minMs, maxMs }: BackOff, failures: number): number {
  return Math.min(maxMs, minMs * 2 ** failures);
}

/** The same with jitter, from half of it on, so that many do not come back in one moment. */
export function backOffMs(backOff: BackOff, failures: number): number {
  return doubledMs(backOff, failures) * (0.5 + Math.random() / 2);
}
