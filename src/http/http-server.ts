import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { ErrorCode } from '../errors.ts';

/** Answers one request; `false` if it is not for it. */
export type Route = (request: IncomingMessage, response: ServerResponse, path: string) => boolean;

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

/** Listens on an address and offers each request to the routes, in order. Rejects if the address cannot be had. */
export async function openHttpServer(options: {
  host: string;
  port: number;
  routes: readonly Route[];
}): Promise<HttpServer> {
  const { host, port, routes } = options;
  const open = new Set<ServerResponse>();
  const settings = { keepAliveTimeout: KEEP_ALIVE_MS, maxHeaderSize: HEADER_BYTES_MAX, noDelay: true };
  const server = createServer(settings, (request, response) => {
    open.add(response);
    response.once('close', () => open.delete(response));
    const path = (request.url ?? '/').split('?', 1)[0] ?? '/';
    if (!routes.some((route) => route(request, response, path))) refuse(response, 404, 'BAD_USER_INPUT', 'not found');
  });
  server.listen(port, host);
  await once(server, 'listening');
  return {
    url: urlOf(server, host),
    cut(isMeant) {
      for (const response of open) if (isMeant(response.req)) response.destroy();
    },
    close: () => close(server, open),
  };
}

/**
 * Takes no more connections and lets answers out that are on their way: a submission that was accepted is known to its
 * client. Streams would never end: they are cut, without `complete`, so that clients come back.
 */
async function close(server: Server, open: ReadonlySet<ServerResponse>): Promise<void> {
  const closed = once(server, 'close');
  server.close();
  for (const response of open) {
    if (String(response.getHeader('content-type')).startsWith('text/event-stream')) response.destroy();
    // Else the connection would stay for the client's next request.
    else if (!response.headersSent) response.setHeader('connection', 'close');
  }
  server.closeIdleConnections();
  const timer = setTimeout(() => server.closeAllConnections(), ANSWERS_MS);
  await closed;
  clearTimeout(timer);
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

export function sendJson(response: ServerResponse, status: number, body: unknown): void {
  const text = JSON.stringify(body);
  response.writeHead(status, {
    'content-type': 'application/json; charset=utf-8',
    'content-length': Buffer.byteLength(text),
  });
  response.end(text);
}

/** Refuses a request before it reaches GraphQL, in the form that a GraphQL client expects. */
export function refuse(
  response: ServerResponse,
  status: number,
  code: ErrorCode | 'BAD_USER_INPUT',
  message: string,
): void {
  sendJson(response, status, { errors: [{ message, extensions: { code } }] });
}
