import { IncomingMessage } from 'node:http';
import { isRecord } from '../../../models/input-issues.ts';
import { countJson } from './json-memory.ts';
import type { OperationParams } from './operation.ts';

/** What a plain request's answer is sent as, by the `Accept` that it came with; any other is Yoga's to weigh. */
const ANSWERED_AS = new Map<string | undefined, AnswerType>([
  [undefined, 'application/json'],
  ['*/*', 'application/json'],
  ['application/json', 'application/json'],
  ['application/graphql-response+json', 'application/graphql-response+json'],
  ['text/event-stream', 'text/event-stream'],
]);

export type AnswerType = 'application/json' | 'application/graphql-response+json' | 'text/event-stream';

/** A POST of JSON that says how long it is, and of which nothing else has to be weighed. */
export interface PlainRequest {
  answerType: AnswerType;
  /** Of the body. */
  bytes: number;
}

/**
 * Any page may send a form or plain text to any address without asking first; JSON it may not. That, no mutation by GET and no
 * CORS keep other people's pages out, and still let a browser's EventSource, which can set no header, subscribe.
 */
export function isJson({ headers }: IncomingMessage): boolean {
  return /^application\/json\s*(;|$)/.test(headers['content-type'] ?? '');
}

/** `undefined` for a request that is not plain. */
export function plainRequest(
  request: IncomingMessage,
  { path, bodyLimitBytes }: { path: string; bodyLimitBytes: number },
): PlainRequest | undefined {
  const { method, url, headers } = request;
  const bytes = Number(headers['content-length']);
  const isPlain =
    method === 'POST' &&
    url === path &&
    isJson(request) &&
    headers['content-encoding'] === undefined &&
    // Of no length known, or too long.
    bytes <= bodyLimitBytes;
  const answerType = ANSWERED_AS.get(headers.accept);
  return isPlain && answerType ? { answerType, bytes } : undefined;
}

/** The whole body; `undefined` where the client is gone before its end. */
export function readBody(request: IncomingMessage): Promise<Buffer | undefined> {
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    const onData = (chunk: Buffer) => chunks.push(chunk);
    const settle = (body: Buffer | undefined) => {
      // A request lives as long as its answer, and would keep what its listeners know of.
      for (const [event, listener] of listeners) request.removeListener(event, listener);
      resolve(body);
    };
    const onEnd = () => settle(chunks.length === 1 ? chunks[0] : Buffer.concat(chunks));
    const onGone = () => settle(undefined);
    const listeners = [
      ['data', onData],
      ['end', onEnd],
      ['close', onGone],
      ['error', onGone],
    ] as const;
    for (const [event, listener] of listeners) request.on(event, listener);
  });
}

/** The operation in a body; `undefined` where anything about it is unusual. Throws where it takes too much. */
export function paramsOf(body: Buffer, take: (bytes: number) => void): OperationParams | undefined {
  countJson(body, take);
  const params = parseJson(body);
  if (!isRecord(params)) return undefined;
  const { query, operationName, variables, ...others } = params;
  const isUsual =
    typeof query === 'string' &&
    (operationName == null || typeof operationName === 'string') &&
    (variables == null || isRecord(variables)) &&
    Object.keys(others).length === 0;
  if (!isUsual) return undefined;
  return { query, operationName, variables };
}

/** A request whose body was read, as it was before. */
export function unread(request: IncomingMessage, body: Buffer): IncomingMessage {
  const again = new IncomingMessage(request.socket);
  const { method, url, headers, rawHeaders, httpVersion } = request;
  // Complete, or its end would be taken for the client's.
  Object.assign(again, { method, url, headers, rawHeaders, httpVersion, complete: true });
  again.push(body);
  again.push(null);
  return again;
}

function parseJson(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString());
  } catch {
    return undefined;
  }
}
