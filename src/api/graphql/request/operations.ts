import { createSourceEventStream, type ExecutionResult, execute, GraphQLError, OperationTypeNode } from 'graphql';
import { isAsyncIterable } from 'graphql-yoga';
import { messageOf } from '../../../errors.ts';
import { type AnswerJson, withDistinctErrors } from '../schema/answer-text.ts';
import type { GraphQLContext } from '../schema/builder.ts';
import type { ApiSchema } from '../schema/schema.ts';
import { type MaskError, settleCodes, shownErrors } from './errors.ts';
import { eventVariables } from './event-variables.ts';
import { createKnownOperations } from './known-operations.ts';
import type { Limits } from './limits.ts';
import type { Operation, OperationParams, Step } from './operation.ts';
import { STEPS } from './steps.ts';

/** An answer, or an event of a stream, as a client gets it. */
export interface Completed extends ExecutionResult {
  /** Its text, which is made once: the context knows what is large in it. */
  json: AnswerJson;
}

/** What every GraphQL request goes through, whichever way it came: admit, read, run, complete. */
export interface Operations {
  /** Throws a `GraphQLError` where what is asked for is refused before it is looked at closer. */
  admit(params: OperationParams): void;
  /** Parses and validates what is asked for; the errors of what has a fault. Documents are kept. */
  read(params: OperationParams, context: GraphQLContext): Operation | readonly GraphQLError[];
  /** Takes the operation through its steps and executes it. */
  run(operation: Operation): Promise<Completed | AsyncIterable<Completed>>;
  /** Masks the errors of a result, and writes it. */
  complete(result: ExecutionResult, context: GraphQLContext): Completed;
}

export function createOperations(options: {
  api: () => ApiSchema;
  limits: Limits;
  maskError: MaskError;
  /** @default STEPS */
  steps?: readonly Step[] | undefined;
}): Operations {
  const { api, limits, maskError, steps = STEPS } = options;
  const known = createKnownOperations(limits);
  const onParams = steps.flatMap((step) => step.onParams ?? []);
  const onOperation = steps.flatMap((step) => step.onOperation ?? []);
  const onResult = steps.flatMap((step) => step.onResult ?? []);

  function read(params: OperationParams, contextValue: GraphQLContext): Operation | readonly GraphQLError[] {
    const { query = '', operationName, variables } = params;
    const { schema } = api();
    const found = known.find(query, operationName, schema);
    if (!('kind' in found)) return found;
    const { document, kind } = found;
    return { schema, document, kind, contextValue, variableValues: variables, operationName };
  }

  async function run(operation: Operation): Promise<Completed | AsyncIterable<Completed>> {
    const { contextValue: context } = operation;
    try {
      // Parse, check and coercion of millions of numbers take a second each: other owners are answered in between.
      const checkTurn = context.load.step();
      if (checkTurn !== undefined) await checkTurn;
      for (const check of onOperation) {
        const fault = check(operation);
        if (fault) return complete({ errors: [fault] }, context);
      }
      const runTurn = context.load.step();
      if (runTurn !== undefined) await runTurn;
      if (operation.kind !== OperationTypeNode.SUBSCRIPTION) return complete(await execute(operation), context);
      const source = await createSourceEventStream(operation);
      if (!isAsyncIterable(source)) return complete(source, context);
      return events(source, { ...operation, variableValues: eventVariables(operation) });
    } catch (error) {
      return complete({ errors: [toError(error)] }, context);
    }
  }

  /** As `subscribe` would make them, which for each event coerces all variables again. */
  async function* events(source: AsyncIterable<unknown>, operation: Operation): AsyncIterable<Completed> {
    const { contextValue: context } = operation;
    try {
      for await (const rootValue of source) yield complete(await execute({ ...operation, rootValue }), context);
    } catch (error) {
      yield complete({ errors: [toError(error)] }, context);
    }
  }

  function complete(result: ExecutionResult, context: GraphQLContext): Completed {
    try {
      let seen = result;
      for (const step of onResult) seen = step(seen, context);
      return written(seen, context);
    } catch (error) {
      return written({ errors: [toError(error)] }, context);
    }
  }

  function written(result: ExecutionResult, context: GraphQLContext): Completed {
    if (!result.errors) return { ...result, json: context.answer.json(result) };
    const errors = withDistinctErrors(result).errors?.map((error) => maskError(error, 'Unexpected error.')) ?? [];
    const masked = { ...result, errors };
    settleCodes(masked);
    return { ...masked, json: context.answer.json({ ...masked, errors: shownErrors(errors) }) };
  }

  return {
    admit(params) {
      for (const check of onParams) check(params);
    },
    read,
    run,
    complete,
  };
}

/** What is thrown is an answer, too, and masked as all others. */
export function toError(error: unknown): GraphQLError {
  if (error instanceof GraphQLError) return error;
  return new GraphQLError(messageOf(error), { originalError: error instanceof Error ? error : null });
}
