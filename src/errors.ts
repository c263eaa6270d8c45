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

/** An error that the caller can correct or wait out; clients see its message. Our own bugs are `assert`s. */
export class AppError extends Error {
  readonly code: ErrorCode;
  /** Whether the same call may succeed later. */
  readonly retryable: boolean;

  constructor(code: ErrorCode, message: string, options: { retryable?: boolean; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? {} : { cause: options.cause });
    this.name = new.target.name;
    this.code = code;
    this.retryable = options.retryable ?? false;
  }

  /** `extensions` of the GraphQL error. */
  get extensions(): Record<string, unknown> {
    return { code: this.code };
  }
}

/** One error in an input: its path from the argument's name down, and what was expected there. */
export interface Issue {
  path: (string | number)[];
  message: string;
}

/** Largest length of a message, or of a key in a path: both may repeat what a client sent, which may be megabytes. */
const MESSAGE_LENGTH_MAX = 1_000;
const KEY_LENGTH_MAX = 100;

/** A text cut to the length that errors show. */
export function shortened(text: string, lengthMax = MESSAGE_LENGTH_MAX): string {
  return text.length <= lengthMax ? text : `${text.slice(0, lengthMax)}…`;
}

function shortenedIssue({ path, message }: Issue): Issue {
  const keys = path.map((key) => (typeof key === 'string' ? shortened(key, KEY_LENGTH_MAX) : key));
  return { path: keys, message: shortened(message) };
}

/** The input is wrong; `issues` lists the errors. Nothing was queued. */
export class InputError extends AppError {
  readonly issues: readonly Issue[];

  /** @param options `hasMore`: there are more errors, which are not listed. */
  constructor(code: 'INVALID_INPUT' | 'UNKNOWN_MODEL', found: readonly Issue[], { hasMore = false } = {}) {
    const issues = found.map(shortenedIssue);
    const listed = issues.map(({ path, message }) => `${path.join('.')}: ${message}`).join('; ');
    super(code, hasMore ? `${listed}; and more: only the first ${issues.length} errors are listed` : listed);
    this.issues = issues;
  }

  override get extensions(): Record<string, unknown> {
    return { ...super.extensions, issues: this.issues };
  }
}

/** How full a queue is, and when to try again. */
export interface QueueLevel {
  waiting: number;
  limit: number;
  retryAfterMs: number;
}

/** The queue of the model is full. Nothing was queued. */
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

/** This process or the caller has reached a limit. Nothing was started. */
export class Overloaded extends AppError {
  /** Milliseconds after which to try again. */
  readonly retryAfterMs: number;

  constructor(message: string, retryAfterMs = 1_000) {
    super('RATE_LIMITED', message, { retryable: true });
    this.retryAfterMs = retryAfterMs;
  }

  override get extensions(): Record<string, unknown> {
    return { ...super.extensions, retryAfterMs: this.retryAfterMs };
  }
}

/** The broker did not confirm in time. Nothing was accepted. */
export class BrokerUnavailable extends AppError {
  constructor(message: string, cause?: unknown) {
    super('BROKER_UNAVAILABLE', message, { retryable: true, cause });
  }
}

/** The store did not answer; the command may have run or not. */
export class StoreUnavailable extends AppError {
  constructor(message: string, cause?: unknown, code: 'STORE_UNAVAILABLE' | 'STORE_FULL' = 'STORE_UNAVAILABLE') {
    super(code, message, { retryable: true, cause });
  }
}

/** The store has no room and wrote nothing. Code that does not handle it waits, as in an outage. */
export class StoreFull extends StoreUnavailable {
  /** Milliseconds after which to try again, if known. */
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

/** The message of anything that was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
