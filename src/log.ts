import { pino } from 'pino';

/** One line: its data, and a message that is always the same for what it says. */
export type LogLine = (fields: object, message: string) => void;

/** Facts, not prose: a fixed message and its data in fields. */
export interface Log {
  readonly debug: LogLine;
  readonly info: LogLine;
  readonly warn: LogLine;
  readonly error: LogLine;
}

export const LOG_LEVELS = ['debug', 'info', 'warn', 'error', 'silent'] as const;

/** Lines of JSON on standard error, so that what a command prints for people stays apart. */
export function createLog(level: (typeof LOG_LEVELS)[number], process: string): Log {
  return pino({ level, base: { process, pid: globalThis.process.pid } }, pino.destination(2));
}
