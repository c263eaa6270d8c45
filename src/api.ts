import type { IncomingMessage, ServerResponse } from 'node:http';
import { ANONYMOUS, type ApiKeys } from './api-keys.ts';
import { type Config, isLoopback } from './config.ts';
import { createGraphQLServer, GRAPHQL_PATH, type GraphQLServer } from './graphql/server.ts';
import { healthRoute } from './health.ts';
import { openHttpServer, type Route, refuse } from './http-server.ts';
import type { Log } from './log.ts';
import type { ModelRegistry } from './models/registry.ts';
import { createPredictions } from './predictions.ts';
import type { Services } from './services.ts';

export interface Api {
  url: string;
  graphql: GraphQLServer;
  close(): Promise<void>;
}

/** The API: GraphQL and health over one HTTP server. */
export async function openApi(config: Config, { broker, store, registry }: Services, log: Log): Promise<Api> {
  const closing = new AbortController();
  const predictions = createPredictions({ broker, store, log });
  const graphql = createGraphQLServer({ predictions, registry, settings: config, log });
  const health = () => ({ broker: broker.isReady(), store: store.isReady(), models: registry.list().length });
  const server = await openHttpServer({
    host: config.host,
    port: config.port,
    routes: [healthRoute(health), homeRoute, graphqlRoute(graphql, config, registry, closing.signal)],
  });
  return {
    url: server.url,
    graphql,
    async close() {
      // Whoever waits for a prediction is answered with the task as it is.
      closing.abort();
      await server.close();
      graphql.close();
    },
  };
}

/** A browser that opens the bare address finds GraphiQL. */
const homeRoute: Route = (_request, response, path) => {
  if (path !== '/') return false;
  response.writeHead(302, { location: GRAPHQL_PATH }).end();
  return true;
};

function graphqlRoute(graphql: GraphQLServer, config: Config, registry: ModelRegistry, closing: AbortSignal): Route {
  const { apiKeys, graphiql, allowUnauthenticated } = config;
  return (request, response, path) => {
    if (path !== GRAPHQL_PATH) return false;
    const owner = ownerOf(request, apiKeys, graphiql);
    const hostname = hostnameOf(request);
    if (hostname === undefined) refuse(response, 400, 'BAD_USER_INPUT', 'expected a host name as Host');
    else if (owner === undefined) refuseKey(response);
    else if (!apiKeys.required && !allowUnauthenticated && !isLoopback(hostname)) refuseName(response);
    else if (request.method === 'POST' && !isJson(request)) refuseContentType(response);
    else if (!registry.isReady()) refuse(response, 503, 'STORE_UNAVAILABLE', 'the models have not been read yet');
    else {
      // nginx would otherwise gather the events of a stream before it passes them on.
      response.setHeader('X-Accel-Buffering', 'no');
      void graphql.handle(request, response, { owner, closing });
    }
    return true;
  };
}

/** Whose operation it is. What executes nothing, a CORS preflight and the page of GraphiQL, needs no key. */
function ownerOf(request: IncomingMessage, apiKeys: ApiKeys, graphiql: boolean): string | undefined {
  const asksForPage = request.method === 'GET' && /text\/html/.test(request.headers.accept ?? '');
  const isPage = graphiql && asksForPage && !request.url?.includes('?');
  if (!apiKeys.required || request.method === 'OPTIONS' || isPage) return ANONYMOUS;
  return apiKeys.ownerOf(request.headers.authorization);
}

function refuseKey(response: ServerResponse): void {
  response.setHeader('www-authenticate', 'Bearer');
  refuse(response, 401, 'UNAUTHENTICATED', 'expected the header `Authorization: Bearer <key>` with a known key');
}

/** `undefined` for what is no host at all, and no address can be made with. */
function hostnameOf({ headers }: IncomingMessage): string | undefined {
  return URL.parse(`http://${headers.host}`)?.hostname.replace(/^\[|\]$/g, '');
}

/** Without keys the address is the only guard, and a page whose name was given a loopback address gets past that: its own name tells. */
function refuseName(response: ServerResponse): void {
  const message = 'expected the name of this machine as Host; for other names set API_KEYS, or ALLOW_UNAUTHENTICATED=1';
  refuse(response, 403, 'FORBIDDEN', message);
}

/**
 * Any page may send a form or plain text to any address without asking first; JSON it may not. That, no mutation by GET and no
 * CORS keep other people's pages out, and still let a browser's EventSource, which can set no header, subscribe.
 */
function isJson(request: IncomingMessage): boolean {
  return /^application\/json\s*(;|$)/.test(request.headers['content-type'] ?? '');
}

function refuseContentType(response: ServerResponse): void {
  refuse(response, 415, 'BAD_USER_INPUT', 'expected the content type application/json');
}
