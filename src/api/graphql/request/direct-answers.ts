import type { IncomingMessage, ServerResponse } from 'node:http';
import { createSourceEventStream, type ExecutionArgs, type ExecutionResult, execute, GraphQLError } from 'graphql';
import { type FetchAPI, isAsyncIterable, processRegularResult } from 'graphql-yoga';
import { messageOf } from '../../../errors.ts';
import { type AnswerJson, withDistinctErrors } from '../schema/answer-text.ts';
import type { GraphQLContext } from '../schema/builder.ts';
import type { Api } from '../schema/schema.ts';
import { writePieces } from './answer-writing.ts';
import { declaredVariables } from './declared-variables.ts';
import { settleCodes, variableFault } from './errors.ts';
import { sendEvents } from './event-stream.ts';
import type { KnownOperations } from './known-operations.ts';
import {
  type AnswerType,
  type OperationParams,
  type PlainRequest,
  paramsOf,
  readBody,
  unread,
} from './plain-request.ts';

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
    const turn = given.load.turn(body.length);
    // Small ones wait for nothing: a promise would cost them a round.
    if (turn !== undefined) await turn;
    if (response.destroyed) return undefined;
    const params = readParams(body, given);
    if (params instanceof Error && answerType !== 'text/event-stream') {
      return send(response, answerOf(thrown(params), contextOf(given), answerType, options), answerType);
    }
    if (!params || params instanceof Error) return otherwise(unread(request, body), response, given);
    const { schema } = api();
    const operation = operations.find(params.query, params.operationName, schema);
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
  const { load } = args.contextValue;
  try {
    const fault = await checked(args);
    const turn = load.step();
    if (turn !== undefined) await turn;
    const result = fault ? { errors: [fault] } : await execute(args);
    await send(response, answerOf(result, args.contextValue, type, options), type);
  } catch (error) {
    await send(response, answerOf(thrown(error), args.contextValue, type, options), type);
  }
}

async function stream<Given>(response: ServerResponse, args: Args, options: Options<Given>): Promise<void> {
  const fault = await checked(args);
  const turn = args.contextValue.load.step();
  if (turn !== undefined) await turn;
  if (response.destroyed) return undefined;
  const source = fault ? { errors: [fault] } : await createSourceEventStream(args).catch(thrown);
  // The lists are for the subscription's own argument, which has been read; no field of an event takes one.
  const variableValues = withoutLists(args.variableValues ?? {});
  return sendEvents(response, eventsOf(source, { ...args, variableValues }, options), args.contextValue.owner);
}

/** Parse, check and coercion of millions of values take a second each: other owners are answered in between. */
async function checked(args: Args): Promise<GraphQLError | undefined> {
  const turn = args.contextValue.load.step();
  if (turn !== undefined) await turn;
  return variableFault(args);
}

/** The operation, or why it may not be read: what takes too much is not read a second time to be refused. */
function readParams(body: Buffer, { load }: Pick<GraphQLContext, 'load'>): OperationParams | Error | undefined {
  try {
    return paramsOf(body, load.take);
  } catch (error) {
    return error instanceof Error ? error : new Error(messageOf(error));
  }
}

/** What is thrown is an answer, too, and masked as all others. */
function thrown(error: unknown): ExecutionResult {
  if (error instanceof GraphQLError) return { errors: [error] };
  return { errors: [new GraphQLError(messageOf(error), { originalError: error instanceof Error ? error : null })] };
}

/** The JSON of an answer; of one with errors also what Yoga makes of them: its status, and its headers. */
interface Answer {
  json: AnswerJson;
  owner: string;
  head?: Response;
}

function answerOf<Given>(
  result: ExecutionResult,
  { answer, owner }: GraphQLContext,
  type: string,
  { maskError, fetchAPI }: Options<Given>,
): Answer {
  if (!result.errors) return { json: answer.json(result), owner };
  const errors = withDistinctErrors(result).errors?.map((error) => maskError(error, 'Unexpected error.')) ?? [];
  let json: AnswerJson = '';
  const stringify = (shown: ExecutionResult) => {
    json = answer.json(shown);
    return '';
  };
  const masked = { ...result, errors, stringify };
  settleCodes(masked);
  const head = processRegularResult(masked, fetchAPI, type);
  return { json, head, owner };
}

async function send(response: ServerResponse, { json, head, owner }: Answer, type: AnswerType): Promise<void> {
  if (head) {
    response.statusCode = head.status;
    for (const [name, value] of head.headers) response.setHeader(name, value);
  } else response.setHeader('content-type', `${type}; charset=utf-8`);
  if (typeof json === 'string') response.end(json);
  else {
    await writePieces(response, json, owner);
    response.end();
  }
}

/** As `subscribe` would make them, which for each event coerces all variables again: a thousand ids, a thousand times. */
async function* eventsOf<Given>(
  source: AsyncIterable<unknown> | ExecutionResult,
  args: Args,
  options: Options<Given>,
): AsyncIterable<AnswerJson> {
  const jsonOf = (result: ExecutionResult) => answerOf(result, args.contextValue, 'application/json', options).json;
  if (!isAsyncIterable(source)) {
    yield jsonOf(source);
    return;
  }
  try {
    for await (const rootValue of source) yield jsonOf(await execute({ ...args, rootValue }));
  } catch (error) {
    yield jsonOf(thrown(error));
  }
}

function withoutLists(variables: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(variables).map(([name, value]) => [name, Array.isArray(value) ? [] : value]),
  );
}
