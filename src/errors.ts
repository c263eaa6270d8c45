/** Our own codes that a client may see in `extensions.code`. */
export const ERROR_CODES = [
  'INVALID_INPUT',
  'UNKNOWN_MODEL',
  'UNKNOWN_TASK',
  'QUEUE_FULL',
  'BROKER_UNAVAILABLE',
  'STORE_UNAVAILABLE',
  'STORE_FULL',
  'UNAUTHENTICATED',
  'FORBIDDEN',
  'RATE_LIMITED',
  'PERSISTED_QUERY_NOT_SUPPORTED',
] as const;

export type ErrorCode = (typeof ERROR_CODES)[number];

/** A fault that is the caller's to mend or to wait out; its message may be shown to clients. Our own bugs are `assert`s. */
export class AppError extends Error {
  readonly code: ErrorCode;
  /** Whether the same call may succeed later without being changed. */
  readonly retryable: boolean;

  constructor(code: ErrorCode, message: string, options: { retryable?: boolean; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? {} : { cause: options.cause });
    this.name = new.target.name;
    this.code = code;
    this.retryable = options.retryable ?? false;
  }

  /** What a client sees beside the message. */
  get extensions(): Record<string, unknown> {
    return { code: this.code };
  }
}

/** One fault of an input: where it is, from the argument's name down, and what was expected there. */
export interface Issue {
  path: (string | number)[];
  message: string;
}

/** Characters of a message, or of a key in a path, that a client is shown: both may repeat what was sent, which may be megabytes. */
const MESSAGE_LENGTH_MAX = 1_000;
const KEY_LENGTH_MAX = 100;

/** A text as an error shows it. */
export function shortened(text: string, lengthMax = MESSAGE_LENGTH_MAX): string {
  return text.length <= lengthMax ? text : `${text.slice(0, lengthMax)}…`;
}

function shortenedIssue({ path, message }: Issue): Issue {
  const keys = path.map((key) => (typeof key === 'string' ? shortened(key, KEY_LENGTH_MAX) : key));
  return { path: keys, message: shortened(message) };
}

/** What was asked does not fit; `issues` names the faults. Nothing was queued. */
export class InputError extends AppError {
  readonly issues: readonly Issue[];

  /** @param options `hasMore`: there are more faults, which are not named. */
  constructor(code: 'INVALID_INPUT' | 'UNKNOWN_MODEL', found: readonly Issue[], { hasMore = false } = {}) {
    const issues = found.map(shortenedIssue);
    const faults = issues.map(({ path, message }) => `${path.join('.')}: ${message}`).join('; ');
    super(code, hasMore ? `${faults}; and more: only the first ${issues.length} errors are listed` : faults);
    this.issues = issues;
  }

  override get extensions(): Record<string, unknown> {
    return { ...super.extensions, issues: this.issues };
  }
}

/** How full a queue is, and when to come back. */
export interface QueueLevel {
  waiting: number;
  limit: number;
  retryAfterMs: number;
}

/** As many predictions wait for the model as may wait. Nothing was queued. */
export class QueueFull extends AppError {
  readonly level: QueueLevel;

  constructor(message: string, level: QueueLevel) {
    super('QUEUE_FULL', message, { retryable: true });
    this.level = level;
  }

  override get extensions(): Record<string, unknown> {
    return { ...super.extensions, ...this.level };
  }
}

/** This process, or the caller, holds as much as it may. Nothing was begun. */
export class Overloaded extends AppError {
  /** When to come back, in milliseconds. */
  readonly retryAfterMs: number;

  constructor(message: string, retryAfterMs = 1_000) {
    super('RATE_LIMITED', message, { retryable: true });
    this.retryAfterMs = retryAfterMs;
  }

  override get extensions(): Record<string, unknown> {
    return { ...super.extensions, retryAfterMs: this.retryAfterMs };
  }
}

/** The broker did not confirm, in time or at all. Nothing was accepted. */
export class BrokerUnavailable extends AppError {
  constructor(message: string, cause?: unknown) {
    super('BROKER_UNAVAILABLE', message, { retryable: true, cause });
  }
}

/** The store could not be reached; the command may or may not have been carried out. */
export class StoreUnavailable extends AppError {
  constructor(message: string, cause?: unknown, code: 'STORE_UNAVAILABLE' | 'STORE_FULL' = 'STORE_UNAVAILABLE') {
    super(code, message, { retryable: true, cause });
  }
}

/** The store has no room for what was to be written, and wrote nothing of it. Code that does not know better waits, as in an outage. */
export class StoreFull extends StoreUnavailable {
  /** When to come back, in milliseconds, where that is known. */
  readonly retryAfterMs: number | undefined;

  constructor(message: string, { cause, retryAfterMs }: { cause?: unknown; retryAfterMs?: number | undefined } = {}) {
    super(message, cause, 'STORE_FULL');
    this.retryAfterMs = retryAfterMs;
  }

  override get extensions(): Record<string, unknown> {
    return { ...super.extensions, ...(this.retryAfterMs !== undefined && { retryAfterMs: this.retryAfterMs }) };
  }
}

/** For `catch`: answers an outage of the broker or the store with `instead`. A refusal, or a bug, is thrown again. */
export function ifUnavailable<T>(instead: T): (error: unknown) => T {
  return (error) => {
    if (error instanceof BrokerUnavailable || error instanceof StoreUnavailable) return instead;
    throw error;
  };
}

/** What an error says; anything may be thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
