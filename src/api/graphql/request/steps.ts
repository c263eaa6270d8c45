import type { ExecutionArgs, ExecutionResult, GraphQLError, OperationTypeNode } from 'graphql';
import type { GraphQLParams } from 'graphql-yoga';
import type { GraphQLContext } from '../schema/builder.ts';
import { declaredVariables } from './declared-variables.ts';
import { refusePersistedQuery } from './persisted-queries.ts';
import { misplacedFiles } from './uploads.ts';
import { variableFault } from './variable-issues.ts';

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
  onParams?(params: GraphQLParams): void;
  /** Before the operation is executed, whose arguments it may replace. Returns an error that refuses it. */
  onOperation?(operation: Operation): GraphQLError | undefined;
  /** Before an answer, or an event of a stream, is written; its errors are masked afterwards. */
  onResult?(result: ExecutionResult, context: GraphQLContext): ExecutionResult;
}

/** In this order, around what `createOperations` does: parse, validate, execute, mask errors, write. */
export const STEPS: readonly Step[] = [
  { onParams: refusePersistedQuery },
  // Files are known by the variables that they came in, which are replaced after it.
  { onOperation: misplacedFiles },
  { onOperation: keepDeclaredVariables },
  { onOperation: variableFault },
];

function keepDeclaredVariables(operation: Operation): undefined {
  operation.variableValues = declaredVariables(operation);
}
