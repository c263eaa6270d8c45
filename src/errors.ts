/** Our own codes that a client may see in `extensions.code`. */
export const ERROR_CODES = [
  'INVALID_INPUT',
  'UNKNOWN_MODEL',
  'UNKNOWN_TASK',
  'QUEUE_FULL',
  'BROKER_UNAVAILABLE',
  'STORE_UNAVAILABLE',
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

/** What was asked does not fit; `issues` names the faults. Nothing was queued. */
export class InputError extends AppError {
  readonly issues: readonly Issue[];

  constructor(code: 'INVALID_INPUT' | 'UNKNOWN_MODEL', issues: readonly Issue[]) {
    super(code, issues.map(({ path, message }) => `${path.join('.')}: ${message}`).join('; '));
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

/** This process holds as much as it may. Nothing was begun. */
export class Overloaded extends AppError {
  constructor(message: string) {
    super('RATE_LIMITED', message, { retryable: true });
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
  constructor(message: string, cause?: unknown) {
    super('STORE_UNAVAILABLE', message, { retryable: true, cause });
  }
}

/** For `catch`: answers an outage, which passes, with `instead`; any other error is a bug and goes on. */
export function ifUnavailable<T>(instead: T): (error: unknown) => T {
  return (error) => {
    if (error instanceof AppError && error.retryable) return instead;
    throw error;
  };
}

/** What an error says; anything may be thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
