import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Route } from './http-server.ts';

/** Seconds for which a browser may keep the answer to a preflight. */
const PREFLIGHT_MAX_AGE_S = 600;

/**
 * Cross-origin access for the routes after this one. Pages of the listed origins may call the API and read every answer, refusals included.
 * An origin that is not listed gets no CORS header at all: `null` would match a sandboxed frame of any page.
 * Answers preflights, which need no key. Where no origin is listed it does nothing.
 */
export function corsRoute(origins: readonly string[]): Route {
  const listed = new Set(origins);
  return (request, response) => {
    if (listed.size === 0) return false;
    // Also where there is no Origin: a cache must not give that answer to a page.
    response.appendHeader('vary', 'Origin');
    const { origin } = request.headers;
    const isListed = origin !== undefined && listed.has(origin);
    if (isListed) {
      response.setHeader('access-control-allow-origin', origin);
      response.setHeader('access-control-expose-headers', 'retry-after');
    }
    if (!isPreflight(request)) return false;
    answerPreflight(request, response, isListed);
    return true;
  };
}

function isPreflight({ method, headers }: IncomingMessage): boolean {
  return method === 'OPTIONS' && headers['access-control-request-method'] !== undefined;
}

function answerPreflight({ headers }: IncomingMessage, response: ServerResponse, isListed: boolean): void {
  response.appendHeader('vary', 'Access-Control-Request-Headers');
  const requested = headers['access-control-request-headers'];
  if (isListed) {
    response.setHeader('access-control-allow-methods', 'GET, POST');
    response.setHeader('access-control-max-age', PREFLIGHT_MAX_AGE_S);
    if (requested !== undefined) response.setHeader('access-control-allow-headers', requested);
  }
  // Safari waits for a body where no length is given.
  response.writeHead(204, { 'content-length': 0 }).end();
}
