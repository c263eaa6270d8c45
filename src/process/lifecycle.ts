import type { Log } from './log.ts';

/** Closes what was opened, last-in first-out. */
export interface Lifecycle {
  /** Registers how to undo an opening: the line after it. */
  onClose(closer: () => unknown): void;
  /** Runs the closers once, one after the other; a closer that fails does not keep the others from running. */
  close(): Promise<void>;
}

export function createLifecycle(log: Log): Lifecycle {
  const closers: (() => unknown)[] = [];
  let closing: Promise<void> | undefined;
  const run = async () => {
    for (let closer = closers.pop(); closer; closer = closers.pop()) {
      try {
        await closer();
      } catch (error) {
        log.error({ err: error }, 'close failed');
      }
    }
  };
  return {
    onClose: (closer) => void closers.push(closer),
    close: () => (closing ??= run()),
  };
}

/**
 * One Ctrl-C arrives several times: the terminal signals the whole group, and npm passes it on. A deliberate second one comes later.
 */
const SAME_SIGNAL_MS = 1_000;

/** SIGTERM and SIGINT close in order and exit 0; another signal a second later, or the end of the grace time, ends the process at once with 1. */
export function closeOnSignal(lifecycle: Lifecycle, graceMs: number, log: Log): void {
  let signalledAt: number | undefined;
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.on(signal, () => {
      if (signalledAt !== undefined) {
        if (performance.now() - signalledAt > SAME_SIGNAL_MS) process.exit(1);
        return;
      }
      signalledAt = performance.now();
      log.info({ signal }, 'closing');
      setTimeout(() => {
        log.error({ graceMs }, 'not closed in time');
        process.exit(1);
      }, graceMs).unref();
      void lifecycle.close().then(() => process.exit(0));
    });
  }
}

/** SIGHUP ends nothing: `read` reads again what can change while the process runs. */
export function readOnSignal(read: () => Promise<void>, log: Log): void {
  process.on('SIGHUP', (signal) => {
    log.info({ signal }, 'reading key files');
    void read();
  });
}
