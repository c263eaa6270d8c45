import type { ServerResponse } from 'node:http';
import type { ErrorCode, Overloaded } from '../../errors.ts';

export function sendJson(response: ServerResponse, status: number, body: unknown): void {
  writeJson(response, status, body);
  response.end();
}

/** The whole answer, whose end is still to be said: Node closes a connection at the end of its last one, whatever the client is sending. */
export function writeJson(response: ServerResponse, status: number, body: unknown): void {
  const text = JSON.stringify(body);
  response.writeHead(status, {
    'content-type': 'application/json; charset=utf-8',
    'content-length': Buffer.byteLength(text),
  });
  response.write(text);
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

/** Refuses one for want of room, and says when to come back. */
export function refuseOverloaded(
  response: ServerResponse,
  { message, extensions, retryAfterMs }: Overloaded,
  write = sendJson,
): void {
  response.setHeader('retry-after', Math.ceil(retryAfterMs / 1_000));
  write(response, 503, { errors: [{ message, extensions }] });
}
