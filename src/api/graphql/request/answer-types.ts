import { GraphQLError } from 'graphql';
import { getSSEProcessor, isAsyncIterable, type Plugin, processRegularResult } from 'graphql-yoga';
import type { GraphQLContext } from '../schema/builder.ts';
import { MULTIPART_STREAM, processMultipartStream } from './multipart-stream.ts';
import { streamTypeOf } from './stream-type.ts';

const processEventStream = getSSEProcessor();

/**
 * Answers every `Accept`. A subscription whose `Accept` takes no stream is refused before anything listens, with an error that names what would
 * do. A query or mutation whose `Accept` names nothing that there is gets JSON, as GraphQL over HTTP recommends: it has been executed.
 */
export function useAnswerTypes(): Plugin<GraphQLContext & { request: Request }> {
  return {
    onSubscribe({ args, setResultAndStopExecution }) {
      const accept = args.contextValue.request.headers.get('accept');
      if (!streamTypeOf(accept)) setResultAndStopExecution({ errors: [noStream(accept)] });
    },
    onResultProcess({ request, result, resultProcessor, setResultProcessor }) {
      if (!isAsyncIterable(result)) {
        if (!resultProcessor) setResultProcessor(processRegularResult, 'application/json');
      } else if (streamTypeOf(request.headers.get('accept')) === 'multipart/mixed') {
        setResultProcessor(processMultipartStream, MULTIPART_STREAM);
      } else {
        setResultProcessor(processEventStream, 'text/event-stream');
      }
    },
  };
}

function noStream(accept: string | null): GraphQLError {
  const expected = 'expected the header `Accept: text/event-stream`, or multipart/mixed with subscriptionSpec=1.0';
  return new GraphQLError(`a subscription answers with a stream: ${expected}, got ${JSON.stringify(accept ?? '')}`, {
    extensions: { code: 'BAD_USER_INPUT', http: { status: 406 } },
  });
}
