import { pino } from 'pino';

/** Facts, not prose: a fixed message and its data in fields. */
export type Log = Pick<pino.Logger, 'debug' | 'info' | 'warn' | 'error'>;

export const LOG_LEVELS = ['debug', 'info', 'warn', 'error', 'silent'] as const;

/** Lines of JSON on standard error, so that what a command prints for people stays apart. */
export function createLog(level: (typeof LOG_LEVELS)[number], process: string): Log {
  return pino({ level, base: { process, pid: globalThis.process.pid } }, pino.destination(2));
}
