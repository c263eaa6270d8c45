import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Bound } from '../../ledger/bound.ts';
import { boundsFor, readCapacity } from '../../ledger/capacity.ts';
import { createLedger } from '../../ledger/ledger.ts';
import { ArrivingRequest } from './arriving-request.ts';
import type { Connection } from './connection.ts';
import { type Connections, createConnections } from './connections.ts';
import { refuse } from './refusal.ts';

/** Answers one request; `false` if it is not for it. */
export type Route = (
  request: ArrivingRequest,
  response: ServerResponse,
  path: string,
  connection: Connection,
) => boolean;

export interface HttpServer {
  /** Where it listens: `http://127.0.0.1:4000`. */
  url: string;
  /** Cuts those answers that are not complete whose requests are meant: streams end without `complete`, so that clients come back. */
  cut(isMeant: (request: IncomingMessage) => boolean): void;
  close(): Promise<void>;
}

/** Longer than the idle time of usual proxies and clients, which then close first and never write into a closing connection. */
const KEEP_ALIVE_MS = 65_000;

/** Room for a thousand ids in the address, as an EventSource has to put them there. */
const HEADER_BYTES_MAX = 64 * 1024;

/** How long answers that are on their way may take when the server closes. */
const ANSWERS_MS = 3_000;

/** The content types of subscriptions. */
const STREAM = /^(text\/event-stream|multipart\/mixed)/;
/** Connections that the system keeps until they are accepted, as far as it keeps so many: with 511 a busy second has clients try again seconds later. */
const BACKLOG = 4_096;

/** Milliseconds in which the head of a request has to be complete, from the connection's beginning or the request's on. */
const HEAD_MS = 10_000;

export interface HttpServerOptions {
  host: string;
  port: number;
  routes: readonly Route[];
  /** How many connections there may be. @default as many as the process has descriptors for */
  connections?: Bound;
  onConnection?: () => void;
}

/** Listens on an address and offers each request to the routes, in order. Rejects if the address cannot be had. */
export async function openHttpServer(options: HttpServerOptions): Promise<HttpServer> {
  const { host, port, routes, connections: bound = createLedger(boundsFor(readCapacity())).connections } = options;
  const connections = createConnections({
    bound,
    handle(request, response, connection) {
      const path = (request.url ?? '/').split('?', 1)[0] ?? '/';
      const isTaken = routes.some((route) => route(request, response, path, connection));
      if (!isTaken) refuse(response, 404, 'BAD_USER_INPUT', 'not found');
    },
  });
  const settings = {
    IncomingMessage: ArrivingRequest,
    keepAliveTimeout: KEEP_ALIVE_MS,
    maxHeaderSize: HEADER_BYTES_MAX,
    noDelay: true,
    headersTimeout: HEAD_MS,
    // Of a body, its rate is looked at instead: a large one may take its time.
    requestTimeout: 0,
    connectionsCheckingInterval: 1_000,
  };
  const server = createServer(settings, connections.answer).on('connection', connections.add);
  if (options.onConnection) server.on('connection', options.onConnection);
  server.listen({ port, host, backlog: BACKLOG });
  await once(server, 'listening').catch((error: unknown) => Promise.reject(listenFault(error, host, port)));
  return {
    url: urlOf(server, host),
    cut(isMeant) {
      for (const { request, response } of connections.exchanges()) if (isMeant(request)) response.destroy();
    },
    close: () => close(server, connections),
  };
}

/** Why nothing can listen there, and what to do about it. */
function listenFault(error: unknown, host: string, port: number): unknown {
  const { code } = Object(error) as { code?: unknown };
  if (code !== 'EADDRINUSE') return error;
  const message = `port ${port} of ${host} is in use by another process; stop it, or set PORT (WORKER_PORT of a worker) to a free port`;
  return new Error(message, { cause: error });
}

/**
 * Takes no more connections and lets answers out that are on their way: a submission that was accepted is known to its
 * client. Streams would never end: they are cut, without `complete`, so that clients come back.
 */
async function close(server: Server, connections: Connections): Promise<void> {
  const closed = once(server, 'close');
  server.close();
  for (const { response } of connections.exchanges()) {
    if (STREAM.test(String(response.getHeader('content-type')))) response.destroy();
    // Else the connection would stay for the client's next request.
    else if (!response.headersSent) response.setHeader('connection', 'close');
  }
  server.closeIdleConnections();
  const timer = setTimeout(() => server.closeAllConnections(), ANSWERS_MS);
  await closed;
  clearTimeout(timer);
  connections.close();
}

function urlOf(server: Server, host: string): string {
  const address = server.address();
  const port = typeof address === 'object' && address ? address.port : 0;
  return `http://${host.includes(':') ? `[${host}]` : host}:${port}`;
}

/** The host that a request asks for, without its port; `undefined` for what is no host at all, and no address can be made with. */
export function hostnameOf({ headers }: IncomingMessage): string | undefined {
  return URL.parse(`http://${headers.host}`)?.hostname.replace(/^\[|\]$/g, '');
}
