import type { Log, LogLine } from './log.ts';

/** Lines of one message that are logged as they come in each period; what is beyond is counted. */
const LINES_MAX = 10;
const PERIOD_MS = 10_000;

/**
 * A log for lines that a caller can cause: of each level and message, but for debug, at most ten in ten seconds, and one more at the end that stands for the
 * others. `count` says how many one line stands for; of the last line, the fields are those of the latest. Messages are few and fixed: what
 * differs is in the fields.
 */
export function rareLog(log: Log, { linesMax = LINES_MAX, periodMs = PERIOD_MS } = {}): Log {
  const rarely = (write: LogLine): LogLine => {
    const sayers = new Map<string, (fields: object) => void>();
    return (fields, message) => {
      const say = sayers.get(message) ?? sayer((said) => write(said, message), linesMax, periodMs);
      sayers.set(message, say);
      say(fields);
    };
  };
  return {
    // Whoever sets the level to debug wants every line.
    debug: (fields, message) => log.debug(fields, message),
    info: rarely((fields, message) => log.info(fields, message)),
    warn: rarely((fields, message) => log.warn(fields, message)),
    error: rarely((fields, message) => log.error(fields, message)),
  };
}

function sayer(write: (fields: object) => void, linesMax: number, periodMs: number): (fields: object) => void {
  let lines = 0;
  let unsaid = 0;
  let latest: object = {};
  const endPeriod = () => {
    lines = 0;
    if (unsaid > 0) say(unsaid);
    unsaid = 0;
  };
  const say = (count: number) => {
    if (lines === 0) setTimeout(endPeriod, periodMs).unref();
    lines += 1;
    write({ ...latest, count });
  };
  return (fields) => {
    latest = fields;
    if (lines < linesMax) say(1);
    else unsaid += 1;
  };
}
