/**
 * Reads what changes by itself: once at a time, however many ask, so that what hangs is not asked again. Returns the reading in flight; none where the last one
 * began less than `everyMs` ago.
 */
export function createReading<T>(read: () => Promise<T>): (everyMs: number) => Promise<T> | undefined {
  let reading: Promise<T> | undefined;
  let readAt = Number.NEGATIVE_INFINITY;
  return (everyMs) => {
    const now = performance.now();
    if (!reading && now - readAt >= everyMs) {
      readAt = now;
      reading = read().finally(() => {
        reading = undefined;
      });
    }
    return reading;
  };
}
