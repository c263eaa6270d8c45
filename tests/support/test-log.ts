import type { Log } from '../../src/process/log.ts';

export interface TestLogLine {
  level: 'debug' | 'info' | 'warn' | 'error';
  message: string;
  fields: Record<string, unknown>;
}

/** A log that a test reads. */
export interface TestLog extends Log {
  lines(level?: TestLogLine['level']): TestLogLine[];
}

export function createTestLog(): TestLog {
  const lines: TestLogLine[] = [];
  const write = (level: TestLogLine['level']) => (fields: unknown, message?: unknown) => {
    lines.push({ level, message: String(message), fields: { ...(typeof fields === 'object' ? fields : {}) } });
  };
  return {
    debug: write('debug'),
    info: write('info'),
    warn: write('warn'),
    error: write('error'),
    lines: (level) => lines.filter((line) => level === undefined || line.level === level),
  };
}
