import type { IncomingMessage, ServerResponse } from 'node:http';
import { createSourceEventStream, type ExecutionArgs, type ExecutionResult, execute, GraphQLError } from 'graphql';
import { type FetchAPI, isAsyncIterable, processRegularResult } from 'graphql-yoga';
import { messageOf } from '../errors.ts';
import type { GraphQLContext } from './builder.ts';
import { declaredVariables } from './declared-variables.ts';
import { settleCodes, variableFault } from './errors.ts';
import { sendEvents } from './event-stream.ts';
import type { KnownOperations } from './known-operations.ts';
import { withLargeTexts } from './large-texts.ts';
import { type AnswerType, type PlainRequest, paramsOf, readBody, unread } from './plain-request.ts';
import type { Api } from './schema.ts';

interface Options<Given> {
  api: () => Api;
  operations: KnownOperations;
  contextOf: (given: Given) => GraphQLContext;
  maskError: (error: unknown, message: string) => GraphQLError;
  fetchAPI: FetchAPI;
  /** Answers whatever is not answered here. */
  otherwise: (request: IncomingMessage, response: ServerResponse, given: Given) => unknown;
}

type Args = ExecutionArgs & { contextValue: GraphQLContext };

/**
 * Answers what clients send all the time, a POST of one operation that is in order, without the fetch API that Yoga works on: its requests,
 * responses, streams and signals, made in JavaScript, took more than half of an API's time (341 µs for a submit, and 127 so). All that is unusual or has a fault is handed on to
 * Yoga as it came, so that one place words it; what both do, parsing, validation, execution, errors, is the same functions.
 */
export function createDirectAnswers<Given extends Pick<GraphQLContext, 'load'>>(options: Options<Given>) {
  const { api, operations, contextOf, otherwise } = options;

  return async (request: IncomingMessage, response: ServerResponse, given: Given, { answerType }: PlainRequest) => {
    const body = await readBody(request);
    if (!body) return undefined;
    const params = paramsOf(body, given.load.take);
    const { schema } = api();
    const operation = params && operations.find(params.query, params.operationName, schema);
    if (!operation || operation.isSubscription !== (answerType === 'text/event-stream')) {
      return otherwise(unread(request, body), response, given);
    }
    const { document } = operation;
    const args = {
      schema,
      document,
      contextValue: contextOf(given),
      variableValues: declaredVariables({ ...params, document }),
      operationName: params.operationName,
    };
    // Not awaited here: a stream goes on for as long as its client likes, and would keep the body for as long.
    return operation.isSubscription ? stream(response, args, options) : answer(response, args, answerType, options);
  };
}

async function answer<Given>(
  response: ServerResponse,
  args: Args,
  type: AnswerType,
  options: Options<Given>,
): Promise<void> {
  try {
    const fault = variableFault(args);
    const result = fault ? { errors: [fault] } : await execute(args);
    await send(response, answerOf(result, args.contextValue, type, options), type);
  } catch (error) {
    await send(response, answerOf(thrown(error), args.contextValue, type, options), type);
  }
}

async function stream<Given>(response: ServerResponse, args: Args, options: Options<Given>): Promise<void> {
  const fault = variableFault(args);
  const source = fault ? { errors: [fault] } : await createSourceEventStream(args).catch(thrown);
  // The lists are for the subscription's own argument, which has been read; no field of an event takes one.
  const variableValues = withoutLists(args.variableValues ?? {});
  return sendEvents(response, eventsOf(source, { ...args, variableValues }, options));
}

/** What is thrown is an answer, too, and masked as all others. */
function thrown(error: unknown): ExecutionResult {
  return { errors: [new GraphQLError(messageOf(error), { originalError: error instanceof Error ? error : null })] };
}

/** The JSON of an answer without errors, or what Yoga makes of one with errors: their status, and what of them is shown. */
function answerOf<Given>(
  result: ExecutionResult,
  { largeTexts }: GraphQLContext,
  type: string,
  { maskError, fetchAPI }: Options<Given>,
): string | Response {
  if (!result.errors) return largeTexts.stringify(result);
  const errors = result.errors.map((error) => maskError(error, 'Unexpected error.'));
  const masked = withLargeTexts({ ...result, errors }, largeTexts);
  settleCodes(masked);
  return processRegularResult(masked, fetchAPI, type);
}

async function send(response: ServerResponse, answer: string | Response, type: string): Promise<void> {
  if (typeof answer === 'string') {
    response.setHeader('content-type', `${type}; charset=utf-8`);
    response.end(answer);
    return;
  }
  response.statusCode = answer.status;
  for (const [name, value] of answer.headers) response.setHeader(name, value);
  response.end(await answer.text());
}

/** As `subscribe` would make them, which for each event coerces all variables again: a thousand ids, a thousand times. */
async function* eventsOf<Given>(
  source: AsyncIterable<unknown> | ExecutionResult,
  args: Args,
  options: Options<Given>,
): AsyncIterable<string> {
  const textOf = (result: ExecutionResult) => {
    const answer = answerOf(result, args.contextValue, 'application/json', options);
    return typeof answer === 'string' ? answer : answer.text();
  };
  if (!isAsyncIterable(source)) {
    yield textOf(source);
    return;
  }
  try {
    for await (const rootValue of source) yield textOf(await execute({ ...args, rootValue }));
  } catch (error) {
    yield textOf(thrown(error));
  }
}

function withoutLists(variables: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(variables).map(([name, value]) => [name, Array.isArray(value) ? [] : value]),
  );
}
