import { GraphQLError, OperationTypeNode } from 'graphql';
import { getSSEProcessor, isAsyncIterable, type Plugin, processRegularResult } from 'graphql-yoga';
import { MULTIPART_STREAM, processMultipartStream } from './multipart-stream.ts';
import { streamTypeOf } from './stream-type.ts';

const processEventStream = getSSEProcessor();

type ResultProcess = Parameters<NonNullable<Plugin['onResultProcess']>>[0];

/**
 * Has Yoga answer every `Accept`. A query or mutation whose `Accept` names nothing that there is gets JSON, as GraphQL over HTTP recommends: it has
 * been executed.
 */
export function chooseAnswerType(
  { request, result, resultProcessor, setResultProcessor }: ResultProcess,
  isSubscription: boolean,
): void {
  const streamType = streamTypeOf(request.headers.get('accept'));
  if (isAsyncIterable(result)) {
    if (streamType === 'multipart/mixed') setResultProcessor(processMultipartStream, MULTIPART_STREAM);
    else setResultProcessor(processEventStream, 'text/event-stream');
  } else if (isSubscription && resultProcessor !== processRegularResult) {
    // One that was refused, of which Yoga would make parts that no client of subscriptions reads.
    if (streamType === 'text/event-stream') setResultProcessor(processEventStream, 'text/event-stream');
    else setResultProcessor(processRegularResult, 'application/json');
  } else if (!resultProcessor) setResultProcessor(processRegularResult, 'application/json');
}

/** Why an operation is not for a request such as this; a subscription is refused before anything listens. */
export function misfit({ method, headers }: Request, kind: OperationTypeNode): GraphQLError | undefined {
  if (kind === OperationTypeNode.MUTATION && method === 'GET') {
    return refusal(405, 'Can only perform a mutation operation from a POST request.', { Allow: 'POST' });
  }
  const accept = headers.get('accept');
  if (kind !== OperationTypeNode.SUBSCRIPTION || streamTypeOf(accept)) return undefined;
  const expected = 'expected the header `Accept: text/event-stream`, or multipart/mixed with subscriptionSpec=1.0';
  return refusal(406, `a subscription answers with a stream: ${expected}, got ${JSON.stringify(accept ?? '')}`);
}

function refusal(status: number, message: string, headers = {}): GraphQLError {
  return new GraphQLError(message, { extensions: { code: 'BAD_USER_INPUT', http: { status, headers } } });
}
