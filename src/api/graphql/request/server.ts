import type { IncomingMessage, ServerResponse } from 'node:http';
import { createYoga } from 'graphql-yoga';
import type { Log } from '../../../process/log.ts';
import type { ModelRegistry } from '../../../registry/registry.ts';
import type { Predictions } from '../../predictions/predictions.ts';
import { AnswerText } from '../schema/answer-text.ts';
import type { GraphQLContext } from '../schema/builder.ts';
import { NAMED_MAX } from '../schema/operations.ts';
import { type ApiSchema, buildApiSchema } from '../schema/schema.ts';
import { useCountedJson } from './counted-json.ts';
import { createDirectAnswers } from './direct-answers.ts';
import { createMaskError, useErrorCodes } from './errors.ts';
import { createLimits } from './limits.ts';
import type { Step } from './operation.ts';
import { createOperations } from './operations.ts';
import { plainRequest } from './plain-request.ts';
import { useUploads } from './uploads.ts';
import { useOperations } from './yoga-answers.ts';

export const GRAPHQL_PATH = '/graphql';

export interface GraphQLSettings {
  /** Largest body of a request. */
  bodyLimitBytes: number;
  introspection: boolean;
}

export interface GraphQLServer {
  handle: (request: IncomingMessage, response: ServerResponse, context: RequestContext) => unknown;
  /** The API as it is now: it follows the registry. */
  api: () => ApiSchema;
  close: () => void;
}

/** What the HTTP server knows of a request. */
type RequestContext = Pick<GraphQLContext, 'owner' | 'gone' | 'closing' | 'load' | 'traceparent'>;

interface Options {
  predictions: Predictions;
  registry: ModelRegistry;
  settings: GraphQLSettings;
  log: Log;
  /** @default STEPS */
  steps?: readonly Step[];
}

/** The GraphQL API over HTTP: plain requests are answered directly, all others by Yoga, with what it leaves open by default closed. */
export function createGraphQLServer({ predictions, registry, settings, log, steps }: Options): GraphQLServer {
  let api = buildApiSchema([]);
  const rebuild = () => {
    try {
      api = buildApiSchema(registry.list(), registry.withdrawn());
    } catch (error) {
      // One registration that no schema can be made of must not take down what worked.
      log.error({ err: error }, 'schema not rebuilt');
    }
  };
  rebuild();
  const unwatch = registry.watch(rebuild);

  const { introspection, bodyLimitBytes } = settings;
  const maskError = createMaskError(log);
  const operations = createOperations({ api: () => api, limits: createLimits({ introspection }), maskError, steps });
  const contextOf = ({ owner, gone, closing, load, traceparent }: RequestContext): GraphQLContext => ({
    owner,
    gone,
    closing,
    load,
    traceparent,
    predictions,
    registry,
    budget: { left: NAMED_MAX },
    answer: new AnswerText(),
  });
  const yoga = createYoga<RequestContext>({
    graphqlEndpoint: GRAPHQL_PATH,
    landingPage: false,
    // Each has a route of its own, which answers before an operation is looked at: GraphiQL's page, and CORS for refusals, too.
    graphiql: false,
    cors: false,
    maxRequestBodySize: bodyLimitBytes,
    // Yoga's own reader of files has no bounds.
    multipart: false,
    batching: false,
    // What a client did wrong is answered to the client; what we did wrong is logged where it is masked.
    logging: false,
    maskedErrors: { maskError, isDev: false },
    // How requests become operations, and results answers; between the two are the steps.
    plugins: [
      useCountedJson(),
      useUploads({ bodyLimitBytes }),
      useErrorCodes(),
      useOperations({ operations, contextOf }),
    ],
  });

  const direct = createDirectAnswers<RequestContext>({
    operations,
    contextOf,
    fetchAPI: yoga.fetchAPI,
    otherwise: yoga,
  });
  const plainOptions = { path: GRAPHQL_PATH, bodyLimitBytes };

  return {
    handle(request, response, given) {
      const plain = plainRequest(request, plainOptions);
      return plain ? direct(request, response, given, plain) : yoga(request, response, given);
    },
    api: () => api,
    close: unwatch,
  };
}
