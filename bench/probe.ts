import { monitorEventLoopDelay } from 'node:perf_hooks';

/** Loaded into a process that is measured, before its own code; asked by a message for what only the process itself knows. */
export interface Reading {
  heapBytes: number;
  rssBytes: number;
  /** Milliseconds that the event loop was late, since it was asked last. */
  loopDelayP99Ms: number;
}

const delay = monitorEventLoopDelay({ resolution: 1 });
delay.enable();
process.on('message', (message) => {
  if (message !== 'read') return;
  // By --expose-gc: what is still held, not what is yet to be collected.
  globalThis.gc?.();
  const { heapUsed, rss } = process.memoryUsage();
  // The resolution is part of every sample.
  const loopDelayP99Ms = Math.max(0, delay.percentile(99) / 1e6 - 1);
  delay.reset();
  process.send?.({ heapBytes: heapUsed, rssBytes: rss, loopDelayP99Ms } satisfies Reading);
});
process.channel?.unref();
