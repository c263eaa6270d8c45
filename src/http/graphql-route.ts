import type { IncomingMessage, ServerResponse } from 'node:http';
import { ANONYMOUS } from '../api-keys.ts';
import { type Config, isLoopback } from '../config.ts';
import { MULTIPART } from '../graphql/multipart.ts';
import { isJson } from '../graphql/plain-request.ts';
import { GRAPHQL_PATH, type GraphQLServer } from '../graphql/server.ts';
import type { ModelRegistry } from '../models/registry.ts';
import type { Graphiql } from './graphiql-route.ts';
import { type Route, refuse } from './http-server.ts';
import type { Load } from './load.ts';

/** Each has a browser ask first where a page of another origin sets it; the third is what Apollo's clients send. */
const PREFLIGHT_HEADERS = ['authorization', 'graphql-require-preflight', 'apollo-require-preflight'];

/** Seconds after which one that was refused for want of room may find some. */
const RETRY_AFTER_S = 1;

/** `/graphql`: lets in who may ask, as long as there is room; health and metrics have routes of their own and always pass. */
export function graphqlRoute(options: {
  graphql: GraphQLServer;
  /** `undefined` where it is off. */
  graphiql: Graphiql | undefined;
  config: Config;
  registry: ModelRegistry;
  load: Load;
  closing: AbortSignal;
}): Route {
  const { graphql, graphiql, config, registry, load: limits, closing } = options;
  const { apiKeys, allowUnauthenticated } = config;
  return (request, response, path) => {
    if (path !== GRAPHQL_PATH) return false;
    const deny: Deny = (status, code, message) => {
      refuse(response, status, code, message);
      return true;
    };
    const isPage = graphiql?.isAskedFor(request) === true;
    // The page executes nothing and needs no key; an address with an operation does, whoever opens it.
    const needsKey = apiKeys.required && !(isPage && request.url === GRAPHQL_PATH);
    const owner = needsKey ? apiKeys.ownerOf(request.headers.authorization) : ANONYMOUS;
    const hostname = hostnameOf(request);
    if (hostname === undefined) return deny(400, 'BAD_USER_INPUT', 'expected a host name as Host');
    if (owner === undefined) return denyKey(response, deny);
    if (!apiKeys.required && !allowUnauthenticated && !isLoopback(hostname)) return denyName(deny);
    if (request.method === 'POST' && !isJson(request) && !isUpload(request)) {
      const files = 'or, with files, multipart/form-data and a header GraphQL-Require-Preflight';
      return deny(415, 'BAD_USER_INPUT', `expected the content type application/json; ${files}`);
    }
    if (!registry.isReady()) return deny(503, 'STORE_UNAVAILABLE', 'the models have not been read yet');
    if (isPage) {
      graphiql.sendPage(request, response);
      return true;
    }
    const load = limits.admit(request, response);
    if (!load) return denyRoom(response, deny);
    // nginx would otherwise gather the events of a stream before it passes them on.
    response.setHeader('X-Accel-Buffering', 'no');
    const traceparent = request.headers['traceparent']?.toString();
    void graphql.handle(request, response, { owner, gone: goneOf(response), closing, load, traceparent });
    return true;
  };
}

const GONE = new Error('whoever asked is gone');

/**
 * Not the signal that Yoga makes of the request: of one that was cut before its answer had begun, Yoga hears nothing. Most requests wait for
 * nothing that could end, and need none.
 */
function goneOf(response: ServerResponse): () => AbortSignal {
  let gone: AbortController | undefined;
  return () => {
    if (gone) return gone.signal;
    gone = new AbortController();
    const leave = () => gone?.abort(GONE);
    if (response.closed) leave();
    else response.once('close', leave);
    return gone.signal;
  };
}

/** Answers with an error; the request is done with. */
type Deny = (...refusal: Parameters<typeof refuse> extends [unknown, ...infer Rest] ? Rest : never) => true;

/** `undefined` for what is no host at all, and no address can be made with. */
function hostnameOf({ headers }: IncomingMessage): string | undefined {
  return URL.parse(`http://${headers.host}`)?.hostname.replace(/^\[|\]$/g, '');
}

/** Files come as a form does. A header that no form can set tells them apart: a page of elsewhere would have to ask first. */
function isUpload({ headers }: IncomingMessage): boolean {
  const isForm = MULTIPART.test(headers['content-type'] ?? '');
  return isForm && PREFLIGHT_HEADERS.some((name) => headers[name] !== undefined);
}

function denyKey(response: ServerResponse, deny: Deny): true {
  response.setHeader('www-authenticate', 'Bearer');
  return deny(401, 'UNAUTHENTICATED', 'expected the header `Authorization: Bearer <key>` with a known key');
}

/** Without keys the address is the only guard, and a page whose name was given a loopback address gets past that: its own name tells. */
function denyName(deny: Deny): true {
  const message = 'expected the name of this machine as Host; for other names set API_KEYS, or ALLOW_UNAUTHENTICATED=1';
  return deny(403, 'FORBIDDEN', message);
}

function denyRoom(response: ServerResponse, deny: Deny): true {
  response.setHeader('retry-after', RETRY_AFTER_S);
  return deny(503, 'RATE_LIMITED', 'this process has as many requests in hand as it may; try again later');
}
