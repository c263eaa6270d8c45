import {
  type ExecutionResult,
  GraphQLError,
  type GraphQLErrorExtensions,
  type GraphQLErrorOptions,
  type GraphQLFormattedError,
} from 'graphql';
import type { Plugin } from 'graphql-yoga';
import { AppError, ERROR_CODES, shortened } from '../../../errors.ts';
import type { InputIssues } from '../../../models/input-issues.ts';
import type { Log } from '../../../process/log.ts';

/** What an error becomes on its way out. */
export type MaskError = (error: unknown, message: string) => GraphQLError;

/** Ours come with code and issues, the caller's as they are, any other masked and logged. */
export function createMaskError(log: Log): MaskError {
  return (error, message) => {
    const cause = error instanceof GraphQLError ? error.originalError : error;
    const place = error instanceof GraphQLError ? { nodes: error.nodes ?? null, path: error.path ?? null } : {};
    if (cause instanceof AppError) return new GraphQLError(cause.message, { ...place, extensions: cause.extensions });
    const callers = error instanceof GraphQLError ? callersError(error, place) : requestError(error);
    if (callers) return callers;
    log.error({ err: cause ?? error }, 'unexpected error');
    return new GraphQLError(message, { ...place, extensions: { code: 'INTERNAL_SERVER_ERROR' } });
  };
}

/** What GraphQL says of what the caller sent; `undefined` where the fault is ours. */
function callersError(error: GraphQLError, place: GraphQLErrorOptions): GraphQLError | undefined {
  const argument = /^Argument "(\w+)"/.exec(error.message)?.[1];
  if (argument !== undefined) {
    // What GraphQL finds out only when it executes: a variable that may be null where the argument may not.
    const message = shortened(error.message);
    const issues = [{ path: [argument], message }];
    return new GraphQLError(message, { ...place, extensions: { code: 'INVALID_INPUT', issues } });
  }
  if (!isCallers(error)) return undefined;
  // It may quote a name of megabytes; faults of ours do not.
  if (error.extensions['issues'] === undefined) error.message = shortened(error.message);
  return error;
}

/** Outside of an operation only the request itself is parsed: `variables` in an address that are no JSON. */
function requestError(error: unknown): GraphQLError | undefined {
  if (!(error instanceof SyntaxError)) return undefined;
  return new GraphQLError('expected JSON', { extensions: { code: 'BAD_USER_INPUT', http: { status: 400 } } });
}

/** What GraphQL itself refuses is the caller's, until it executes: a result that it cannot say is ours. */
function isCallers({ originalError, path, extensions }: GraphQLError): boolean {
  if (originalError != null && !(originalError instanceof GraphQLError)) return false;
  return path === undefined || extensions['code'] !== undefined;
}

function isResult(result: unknown): result is ExecutionResult {
  return typeof result === 'object' && result !== null && ('errors' in result || 'data' in result);
}

export function toGraphQLError(issues: InputIssues): GraphQLError {
  const { message, extensions } = issues.toError();
  return new GraphQLError(message, { extensions });
}

/** Errors as clients see them: without what they say of the answer's status and headers. */
export function shownErrors(errors: readonly GraphQLError[]): GraphQLFormattedError[] {
  return errors.map((error) => {
    const { extensions: { http, ...extensions } = {}, ...rest } = error.toJSON();
    return { ...rest, ...(Object.keys(extensions).length > 0 && { extensions }) };
  });
}

/** What Yoga refuses by itself gets one of the codes that clients know. */
export function useErrorCodes(): Plugin {
  return {
    onResultProcess({ result }) {
      for (const one of Array.isArray(result) ? result : [result]) {
        if (isResult(one)) settleCodes(one);
      }
    },
  };
}

const KNOWN_CODES = new Set<unknown>([
  ...ERROR_CODES,
  ...['GRAPHQL_PARSE_FAILED', 'GRAPHQL_VALIDATION_FAILED', 'BAD_USER_INPUT', 'INTERNAL_SERVER_ERROR'],
]);

/** Every error has a code that clients know: what Yoga or GraphQL say by other names is the caller's input too. */
export function settleCodes({ errors = [] }: ExecutionResult): void {
  for (const { extensions } of errors) settleCode(extensions);
}

function settleCode(extensions: GraphQLErrorExtensions): void {
  if (!KNOWN_CODES.has(extensions['code'])) extensions['code'] = 'BAD_USER_INPUT';
  if (extensions['originalError'] === undefined) return;
  // Of JSON that does not parse Yoga gives away the parser's own error, and with it a part of the body; its presence is
  // also what makes the status 400.
  delete extensions['originalError'];
  extensions['http'] = { status: 400 };
}
