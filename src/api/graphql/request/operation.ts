import type { ExecutionArgs, ExecutionResult, GraphQLError, OperationTypeNode } from 'graphql';
import type { GraphQLContext } from '../schema/builder.ts';

/** What an operation comes as. */
export interface OperationParams {
  query?: string | undefined;
  operationName?: string | null | undefined;
  variables?: Record<string, unknown> | null | undefined;
  extensions?: unknown;
}

/** An operation that is valid, ready to be executed. */
export interface Operation extends ExecutionArgs {
  kind: OperationTypeNode;
  contextValue: GraphQLContext;
}

/**
 * One step of every GraphQL request, whether it is answered directly or by Yoga. A plugin of Yoga's that hooks into parsing,
 * validation or execution is never called: it would miss the requests that are answered directly.
 */
export interface Step {
  /** Before the document is read. Throws a `GraphQLError` that refuses it. */
  onParams?(params: OperationParams): void;
  /** Before the operation is executed, whose arguments it may replace. Returns an error that refuses it. */
  onOperation?(operation: Operation): GraphQLError | undefined;
  /** Before an answer, or an event of a stream, is written; its errors are masked afterwards. */
  onResult?(result: ExecutionResult, context: GraphQLContext): ExecutionResult;
}
