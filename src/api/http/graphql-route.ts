import type { IncomingMessage, ServerResponse } from 'node:http';
import { Overloaded } from '../../errors.ts';
import { ANONYMOUS } from '../../process/api-keys.ts';
import { type Config, isLoopback } from '../../process/config.ts';
import type { Log } from '../../process/log.ts';
import type { ModelRegistry } from '../../registry/registry.ts';
import { MULTIPART } from '../graphql/request/multipart.ts';
import { isJson } from '../graphql/request/plain-request.ts';
import { GRAPHQL_PATH, type GraphQLServer } from '../graphql/request/server.ts';
import { clientAddress, networkOf } from './client-address.ts';
import type { Connection } from './connection.ts';
import { CountedBody } from './counted-body.ts';
import type { Graphiql } from './graphiql-route.ts';
import { hostnameOf, type Route } from './http-server.ts';
import type { Load, RequestLoad } from './load.ts';
import { refuse, refuseOverloaded } from './refusal.ts';
import type { OnRefusedKey } from './refused-keys.ts';
import type { Starts } from './starts.ts';

/** Each has a browser ask first where a page of another origin sets it; the third is what Apollo's clients send. */
const PREFLIGHT_HEADERS = ['authorization', 'graphql-require-preflight', 'apollo-require-preflight'];

/** `/graphql`: lets in who may ask, as long as there is room; health and metrics have routes of their own and always pass. */
export function graphqlRoute(options: {
  graphql: GraphQLServer;
  /** `undefined` where it is off. */
  graphiql: Graphiql | undefined;
  config: Config;
  registry: ModelRegistry;
  load: Load;
  starts: Starts;
  closing: AbortSignal;
  onRefusedKey: OnRefusedKey;
  log: Log;
}): Route {
  const { graphql, graphiql, config, registry, load: limits, starts, closing, onRefusedKey, log } = options;
  const { apiKeys, allowUnauthenticated, trustedProxies } = config;
  const addressOf = (request: IncomingMessage, { address }: Connection) =>
    trustedProxies ? networkOf(clientAddress(request, trustedProxies)) : address;
  const onFault = (error: unknown, response: ServerResponse) => {
    // One that was refused while its body came is answered already, and whoever read the body finds that out too late.
    if (!response.headersSent) log.error({ err: error }, 'request not answered');
    response.destroy();
  };
  const handle = (...[request, response, given]: Parameters<GraphQLServer['handle']>) => {
    // Whoever has gone while others began costs no more.
    if (response.destroyed) return;
    Promise.resolve(graphql.handle(request, response, given)).catch((error: unknown) => onFault(error, response));
  };
  return (request, response, path, connection) => {
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
    if (owner === undefined) {
      onRefusedKey(request);
      return denyKey(response, deny);
    }
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
    const isKeyed = apiKeys.required && owner !== ANONYMOUS;
    let load: RequestLoad;
    try {
      load = limits.admit(request, response, isKeyed ? owner : addressOf(request, connection));
    } catch (error) {
      if (!(error instanceof Overloaded)) throw error;
      refuseOverloaded(response, error);
      return true;
    }
    connection.isKnown ||= isKeyed || !apiKeys.required;
    request.body = new CountedBody(load, response, connection);
    // nginx would otherwise gather the events of a stream before it passes them on.
    response.setHeader('X-Accel-Buffering', 'no');
    const traceparent = request.headers['traceparent']?.toString();
    const given = { owner, gone: goneOf(response), closing, load, traceparent };
    const wait = starts.enter(load.owner);
    if (wait === undefined) handle(request, response, given);
    else void wait.then(() => handle(request, response, given));
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
