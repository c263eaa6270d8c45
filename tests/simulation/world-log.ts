import type { Log } from '../../src/process/log.ts';
import type { Ledger } from './ledger.ts';
import type { Setting } from './machine.ts';

/** The product's log: part of the trace. An error in it is one of the world, unless it was foreseen. */
export function createWorldLog({ trace }: Setting, ledger: Ledger): Log {
  const write =
    (level: string) =>
    (fields: unknown, message?: unknown): void =>
      trace('   ', level, message, fields);
  return {
    debug: write('debug'),
    info: write('info'),
    warn: write('warn'),
    error: (fields: unknown, message?: unknown) => {
      trace('   error', message, fields);
      // A dead letter is worth an error too; what carries one was not foreseen.
      if (typeof fields === 'object' && fields && 'err' in fields)
        ledger.broken.push(`logged: ${text(message)} ${text(fields)}`);
    },
  };
}

/** A value as a line of the trace shows it. */
export function text(value: unknown): string {
  if (value instanceof Error) return `${value.name}: ${value.message}`;
  if (typeof value !== 'object' || value === null) return String(value);
  return JSON.stringify(value, (_key, part: unknown) => (part instanceof Error ? text(part) : part));
}
