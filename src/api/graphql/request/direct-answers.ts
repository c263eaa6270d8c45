import type { IncomingMessage, ServerResponse } from 'node:http';
import { GraphQLError, OperationTypeNode } from 'graphql';
import { type FetchAPI, isAsyncIterable, processRegularResult } from 'graphql-yoga';
import type { GraphQLContext } from '../schema/builder.ts';
import { writePieces } from './answer-writing.ts';
import { sendEvents } from './event-stream.ts';
import type { Operation } from './operation.ts';
import { type Completed, type Operations, toError } from './operations.ts';
import { type AnswerType, type PlainRequest, paramsOf, readBody, unread } from './plain-request.ts';

interface Options<Given> {
  operations: Operations;
  contextOf: (given: Given) => GraphQLContext;
  fetchAPI: FetchAPI;
  /** Answers whatever is not answered here. */
  otherwise: (request: IncomingMessage, response: ServerResponse, given: Given) => unknown;
}

/**
 * Answers what clients send all the time, a POST of one operation that is in order, without the fetch API that Yoga works on: its requests,
 * responses, streams and signals, made in JavaScript, took more than half of an API's time (341 µs for a submit, and 127 so). All that is unusual or has a fault is handed on to
 * Yoga as it came, so that one place words it; what both do with an operation is `createOperations`.
 */
export function createDirectAnswers<Given extends Pick<GraphQLContext, 'load'>>(options: Options<Given>) {
  const { operations, contextOf, otherwise, fetchAPI } = options;

  return async (request: IncomingMessage, response: ServerResponse, given: Given, { answerType }: PlainRequest) => {
    const body = await readBody(request);
    if (!body) return undefined;
    const turn = given.load.turn(body.length);
    // Small ones wait for nothing: a promise would cost them a round.
    if (turn !== undefined) await turn;
    if (response.destroyed) return undefined;
    const context = contextOf(given);
    const isStream = answerType === 'text/event-stream';
    const operation = readOperation(body, context, isStream);
    if (operation instanceof GraphQLError && !isStream) {
      return send(response, operations.complete({ errors: [operation] }, context), answerType, context);
    }
    if (!operation || operation instanceof GraphQLError) return otherwise(unread(request, body), response, given);
    // Not awaited here: a stream goes on for as long as its client likes, and would keep the body for as long.
    return answer(response, operation, answerType);
  };

  /** The operation, or why it may not be read: what takes too much is not read a second time to be refused. `undefined` for one that is not for here. */
  function readOperation(body: Buffer, context: GraphQLContext, isStream: boolean) {
    try {
      const params = paramsOf(body, context.load.take);
      if (!params) return undefined;
      operations.admit(params);
      const operation = operations.read(params, context);
      if (!('kind' in operation)) return undefined;
      return (operation.kind === OperationTypeNode.SUBSCRIPTION) === isStream ? operation : undefined;
    } catch (error) {
      return toError(error);
    }
  }

  async function answer(response: ServerResponse, operation: Operation, type: AnswerType): Promise<void> {
    const { contextValue: context } = operation;
    const result = await operations.run(operation);
    // Nor is a stream awaited here, which would keep the variables.
    if (isAsyncIterable(result)) return sendEvents(response, result, context.load);
    if (type === 'text/event-stream') return sendEvents(response, [result], context.load);
    return send(response, result, type, context);
  }

  async function send(response: ServerResponse, result: Completed, type: AnswerType, { load }: GraphQLContext) {
    // Of one with errors it is Yoga that says with which status and headers.
    if (result.errors) {
      const { status, headers } = processRegularResult({ ...result, stringify: () => '' }, fetchAPI, type);
      response.statusCode = status;
      for (const [name, value] of headers) response.setHeader(name, value);
    } else response.setHeader('content-type', `${type}; charset=utf-8`);
    if (typeof result.json === 'string') response.end(result.json);
    else {
      await writePieces(response, result.json, load);
      response.end();
    }
  }
}
