import { pino } from 'pino';
import { oneLine } from './printable.ts';

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
  const destination = pino.destination(2);
  // Names come from files, and JSON leaves some characters raw that a terminal obeys; within a string of it, escaped they are the same.
  const write = (line: string) => destination.write(`${oneLine(line.trimEnd())}\n`);
  return pino({ level, base: { process, pid: globalThis.process.pid } }, { write });
}
