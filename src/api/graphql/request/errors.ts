import type { ExecutionArgs, ExecutionResult, GraphQLErrorExtensions } from 'graphql';
import { GraphQLError } from 'graphql';
import type { Plugin } from 'graphql-yoga';
import { AppError, ERROR_CODES, shortened } from '../../../errors.ts';
import { InputIssues } from '../../../models/input-issues.ts';
import type { Log } from '../../../process/log.ts';
import type { GraphQLContext } from '../schema/builder.ts';
import { findVariableIssues } from './variable-issues.ts';

/** What Yoga calls for every error on its way out: ours with code and issues, the caller's as they are, any other masked. */
export function createMaskError(log: Log) {
  return (error: unknown, message: string): GraphQLError => {
    const isGraphQL = error instanceof GraphQLError;
    const original = isGraphQL ? error.originalError : error;
    const place = isGraphQL ? { nodes: error.nodes ?? null, path: error.path ?? null } : {};
    if (original instanceof AppError) {
      return new GraphQLError(original.message, { ...place, extensions: original.extensions });
    }
    const argument = isGraphQL ? /^Argument "(\w+)"/.exec(error.message)?.[1] : undefined;
    if (isGraphQL && argument !== undefined) {
      // What GraphQL finds out only when it executes: a variable that may be null where the argument may not.
      const said = shortened(error.message);
      const issues = [{ path: [argument], message: said }];
      return new GraphQLError(said, { ...place, extensions: { code: 'INVALID_INPUT', issues } });
    }
    if (isGraphQL && isCallers(error)) {
      // It may quote a name of megabytes; faults of ours do not.
      if (error.extensions['issues'] === undefined) error.message = shortened(error.message);
      return error;
    }
    // Outside of an operation only the request itself is parsed: `variables` in an address that are no JSON.
    if (!isGraphQL && original instanceof SyntaxError) {
      return new GraphQLError('expected JSON', { extensions: { code: 'BAD_USER_INPUT', http: { status: 400 } } });
    }
    log.error({ err: original ?? error }, 'unexpected error');
    return new GraphQLError(message, { ...place, extensions: { code: 'INTERNAL_SERVER_ERROR' } });
  };
}

/** What GraphQL itself refuses is the caller's, until it executes: a result that it cannot say is ours. */
function isCallers({ originalError, path, extensions }: GraphQLError): boolean {
  if (originalError != null && !(originalError instanceof GraphQLError)) return false;
  return path === undefined || extensions['code'] !== undefined;
}

/** Why the variables of an operation cannot be coerced, in the form that our own errors have; `undefined` where they can. */
export function variableFault(args: ExecutionArgs): GraphQLError | undefined {
  const issues = new InputIssues();
  findVariableIssues(args, issues);
  return issues.found ? toGraphQLError(issues) : undefined;
}

type Given = Pick<GraphQLContext, 'load'>;
type Args = ExecutionArgs & { contextValue: Given };

/** Has Yoga refuse them before GraphQL tries; each of both takes a turn where the request is large. */
export function useVariableIssues(): Plugin<Given> {
  const refuse = async (args: Args, stop: (result: ExecutionResult & { errors: GraphQLError[] }) => void) => {
    await args.contextValue.load.step();
    const fault = variableFault(args);
    if (fault) stop({ errors: [fault] });
    else await args.contextValue.load.step();
  };
  return {
    onExecute: ({ args, setResultAndStopExecution }) => refuse(args, setResultAndStopExecution),
    onSubscribe: ({ args, setResultAndStopExecution }) => refuse(args, setResultAndStopExecution),
  };
}

function isResult(result: unknown): result is ExecutionResult {
  return typeof result === 'object' && result !== null && ('errors' in result || 'data' in result);
}

export function toGraphQLError(issues: InputIssues): GraphQLError {
  const { message, extensions } = issues.toError();
  return new GraphQLError(message, { extensions });
}

/** Every error has one of the codes that clients know: what Yoga or GraphQL say by other names is the caller's input too. */
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
