import type { IncomingMessage, ServerResponse } from 'node:http';
import { createYoga } from 'graphql-yoga';
import type { Log } from '../../../process/log.ts';
import type { ModelRegistry } from '../../../registry/registry.ts';
import type { Predictions } from '../../predictions/predictions.ts';
import { AnswerText } from '../schema/answer-text.ts';
import type { GraphQLContext } from '../schema/builder.ts';
import { NAMED_MAX } from '../schema/operations.ts';
import { type Api, buildApi } from '../schema/schema.ts';
import { useAnswerTypes } from './answer-types.ts';
import { useCountedJson } from './counted-json.ts';
import { useDeclaredVariables } from './declared-variables.ts';
import { createDirectAnswers } from './direct-answers.ts';
import { createMaskError, useErrorCodes, useVariableIssues } from './errors.ts';
import { createKnownOperations } from './known-operations.ts';
import { createLimits, useLimits } from './limits.ts';
import { usePersistedQueries } from './persisted-queries.ts';
import { plainRequest } from './plain-request.ts';
import { useUploads } from './uploads.ts';
import { useAnswerText } from './yoga-answers.ts';

export const GRAPHQL_PATH = '/graphql';

export interface GraphQLSettings {
  /** Largest body of a request. */
  bodyLimitBytes: number;
  introspection: boolean;
}

export interface GraphQLServer {
  handle: (request: IncomingMessage, response: ServerResponse, context: RequestContext) => unknown;
  /** The API as it is now: it follows the registry. */
  api: () => Api;
  close: () => void;
}

/** What the HTTP server knows of a request. */
type RequestContext = Pick<GraphQLContext, 'owner' | 'gone' | 'closing' | 'load' | 'traceparent'>;

interface Options {
  predictions: Predictions;
  registry: ModelRegistry;
  settings: GraphQLSettings;
  log: Log;
}

/** The GraphQL API over HTTP: Yoga, with what it leaves open by default closed. */
export function createGraphQLServer({ predictions, registry, settings, log }: Options): GraphQLServer {
  let api = buildApi([]);
  const rebuild = () => {
    try {
      api = buildApi(registry.list(), registry.withdrawn());
    } catch (error) {
      // One announcement that no schema can be made of must not take down what worked.
      log.error({ err: error }, 'schema not rebuilt');
    }
  };
  rebuild();
  const unwatch = registry.watch(rebuild);

  const { introspection, bodyLimitBytes } = settings;
  const limits = createLimits({ introspection });
  const maskError = createMaskError(log);
  const context = () => ({ predictions, registry, budget: { left: NAMED_MAX }, answer: new AnswerText() });
  const yoga = createYoga<RequestContext, Omit<GraphQLContext, keyof RequestContext>>({
    schema: () => api.schema,
    context,
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
    // It would keep a thousand documents, of up to a megabyte each.
    parserAndValidationCache: false,
    plugins: [
      useCountedJson(),
      useUploads({ bodyLimitBytes }),
      usePersistedQueries(),
      useLimits(limits),
      useVariableIssues(),
      useDeclaredVariables(),
      useErrorCodes(),
      useAnswerText(),
      useAnswerTypes(),
    ],
  });

  const direct = createDirectAnswers<RequestContext>({
    api: () => api,
    operations: createKnownOperations(limits),
    contextOf: (given) => ({ ...given, ...context() }),
    maskError,
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
