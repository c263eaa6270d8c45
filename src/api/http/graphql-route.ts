import type { IncomingMessage, ServerResponse } from 'node:http';
import { Overloaded } from '../../errors.ts';
import { ANONYMOUS } from '../../process/api-keys.ts';
import { type Config, isLoopback } from '../../process/config.ts';
import type { Log } from '../../process/log.ts';
import type { ModelRegistry } from '../../registry/registry.ts';
import { MULTIPART } from '../graphql/request/multipart.ts';
import { isJson } from '../graphql/request/plain-request.ts';
import { GRAPHQL_PATH, type GraphQLServer } from '../graphql/request/server.ts';
import type { ArrivingRequest } from './arriving-request.ts';
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

interface Options {
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
}

/** `/graphql`: lets in who may ask, as long as there is room; health and metrics have routes of their own and always pass. */
export function graphqlRoute(options: Options): Route {
  const { graphiql, registry } = options;
  const ownerOf = createDoor(options);
  const answer = createAnswer(options);
  return (request, response, path, connection) => {
    if (path !== GRAPHQL_PATH) return false;
    const isPage = graphiql?.isAskedFor(request) === true;
    const owner = ownerOf(request, isPage);
    if (typeof owner !== 'string') deny(response, owner);
    else if (!registry.isReady()) deny(response, NOT_READY);
    else if (isPage) graphiql.sendPage(request, response);
    else answer(request, response, connection, owner);
    return true;
  };
}

/** Why a request is not let in. */
interface Denial {
  status: number;
  code: Parameters<typeof refuse>[2];
  message: string;
  headers?: Record<string, string>;
}

const NO_HOST: Denial = { status: 400, code: 'BAD_USER_INPUT', message: 'expected a host name in the header Host' };

const NO_KEY: Denial = {
  status: 401,
  code: 'UNAUTHENTICATED',
  message: 'expected the header `Authorization: Bearer <key>` with a known key',
  headers: { 'www-authenticate': 'Bearer' },
};

/** Without keys the address is the only guard, and a page whose name was given a loopback address gets past that: its own name tells. */
const OTHER_NAME: Denial = {
  status: 403,
  code: 'FORBIDDEN',
  message:
    'expected the name of this machine in the header Host; to allow other names, set API_KEYS, or ALLOW_UNAUTHENTICATED=1',
};

const OTHER_CONTENT: Denial = {
  status: 415,
  code: 'BAD_USER_INPUT',
  message:
    'expected the content type application/json; or, with files, multipart/form-data and a header GraphQL-Require-Preflight',
};

const NOT_READY: Denial = {
  status: 503,
  code: 'STORE_UNAVAILABLE',
  message: 'the models have not been read yet; try again',
};

function deny(response: ServerResponse, { status, code, message, headers = {} }: Denial): void {
  for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
  refuse(response, status, code, message);
}

/** Whose request it is, or why it is not let in. */
function createDoor({ config: { apiKeys, allowUnauthenticated }, onRefusedKey }: Options) {
  return (request: IncomingMessage, isPage: boolean): string | Denial => {
    const hostname = hostnameOf(request);
    if (hostname === undefined) return NO_HOST;
    // The page executes nothing and needs no key; an address with an operation needs one.
    const needsKey = apiKeys.required && !(isPage && request.url === GRAPHQL_PATH);
    const owner = needsKey ? apiKeys.ownerOf(request.headers.authorization) : ANONYMOUS;
    if (owner === undefined) {
      onRefusedKey(request);
      return NO_KEY;
    }
    if (!apiKeys.required && !allowUnauthenticated && !isLoopback(hostname)) return OTHER_NAME;
    return request.method === 'POST' && !isJson(request) && !isUpload(request) ? OTHER_CONTENT : owner;
  };
}

/** Answers a request that was let in, as far as there is room. */
function createAnswer({ graphql, config: { apiKeys, trustedProxies }, load: limits, starts, closing, log }: Options) {
  const addressOf = (request: IncomingMessage, { address }: Connection) =>
    trustedProxies ? networkOf(clientAddress(request, trustedProxies)) : address;
  const onFault = (error: unknown, response: ServerResponse) => {
    // A request that was refused while its body arrived is answered already; the reader of the body notices too late.
    if (!response.headersSent) log.error({ err: error }, 'request not answered');
    response.destroy();
  };
  const handle = (...[request, response, given]: Parameters<GraphQLServer['handle']>) => {
    // A client that disconnected while others began costs nothing more.
    if (response.destroyed) return;
    Promise.resolve(graphql.handle(request, response, given)).catch((error: unknown) => onFault(error, response));
  };
  return (request: ArrivingRequest, response: ServerResponse, connection: Connection, owner: string): void => {
    const isKeyed = apiKeys.required && owner !== ANONYMOUS;
    let load: RequestLoad;
    try {
      load = limits.admit(request, response, isKeyed ? owner : addressOf(request, connection));
    } catch (error) {
      if (!(error instanceof Overloaded)) throw error;
      refuseOverloaded(response, error);
      return;
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
  };
}

const GONE = new Error('the client has disconnected');

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

/** Files come as a form does. A header that no form can set tells them apart: a page of elsewhere would have to ask first. */
function isUpload({ headers }: IncomingMessage): boolean {
  const isForm = MULTIPART.test(headers['content-type'] ?? '');
  return isForm && PREFLIGHT_HEADERS.some((name) => headers[name] !== undefined);
}
