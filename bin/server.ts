import { z } from 'zod';
import { messageOf } from '../src/errors.ts';
import { readServerSettings } from '../src/process/config.ts';
import { type Given, type Option, UsageError } from './command.ts';

/** A running Foretell, reached over HTTP. */
export interface Server {
  url: string;
  key: string | undefined;
}

/** Foretell pings every twelve seconds: a stream that is silent for so long has lost its server. */
const SILENCE_MS = 45_000;

const DEFAULT_URL = 'http://127.0.0.1:4000/graphql';

export const SERVER_OPTIONS: Record<string, Option> = {
  url: { value: 'URL', purpose: `address of the API; default: FORETELL_URL, or ${DEFAULT_URL}` },
  key: {
    value: 'KEY',
    purpose: 'API key, if the API needs one; default: FORETELL_KEY, which other users of the machine cannot see',
  },
};

/** The server by --url, FORETELL_URL or the default. Throws `UsageError`. */
export function serverOf({ values }: Given): Server {
  const settings = readServerSettings();
  const wanted = values['url'] ?? settings.url ?? DEFAULT_URL;
  const url = URL.parse(wanted);
  if (!url || !/^https?:$/.test(url.protocol)) {
    throw new UsageError(`--url: expected an address such as ${DEFAULT_URL}, got "${wanted}"`);
  }
  if (url.pathname === '/') url.pathname = new URL(DEFAULT_URL).pathname;
  return { url: url.href, key: values['key'] ?? settings.key };
}

/** The server answered with errors. */
export class Refusal extends Error {
  readonly codes: readonly string[];

  constructor(errors: z.infer<typeof errorsSchema>) {
    super(errors.map(({ message, extensions }) => [extensions?.code, message].filter(Boolean).join(': ')).join('; '));
    this.codes = errors.flatMap(({ extensions }) => extensions?.code ?? []);
  }
}

/** No answer of Foretell: nothing listens, the connection was lost, or another server answered. */
export class NoAnswer extends Error {}

const errorsSchema = z
  .array(z.object({ message: z.string(), extensions: z.object({ code: z.string().optional() }).optional() }))
  .min(1);
const answerSchema = z.object({ data: z.unknown().optional(), errors: errorsSchema.optional() });

/** One query or mutation. Throws `Refusal` or `NoAnswer`. */
export async function ask<T>(
  server: Server,
  data: z.ZodType<T>,
  query: string,
  variables: Record<string, unknown>,
): Promise<T> {
  const response = await post(server, 'application/json', { query, variables });
  return read(data, await textOf(server, response), server, response.status);
}

/** One subscription: its events, until it is complete. Throws `Refusal`; `NoAnswer` also where it is cut off before its end. */
export async function* subscribe<T>(
  server: Server,
  data: z.ZodType<T>,
  query: string,
  variables: Record<string, unknown>,
): AsyncGenerator<T, void> {
  // Loaded here: it brings the GraphQL library, which no other command needs, a worker's process least of all.
  const { createClient } = await import('graphql-sse');
  let unanswered: unknown;
  let status = 0;
  // graphql-sse keeps only the message of what fetch rejects with, and nothing of an answer that is no stream.
  const fetchFn = async (_url: string, { signal }: { signal: AbortSignal }) => {
    try {
      const response = await post(server, 'text/event-stream', { query, variables }, signal);
      status = response.status;
      if (response.headers.get('content-type')?.startsWith('text/event-stream')) return unlessSilent(response);
      read(data, await textOf(server, response), server, status);
      throw new NoAnswer(`${server.url} answered a subscription without a stream`);
    } catch (error) {
      unanswered = error;
      throw error;
    }
  };
  const client = createClient({ url: server.url, fetchFn, retryAttempts: 0 });
  try {
    for await (const result of client.iterate({ query, variables })) yield parse(data, result, server, status);
  } catch (error) {
    if (error instanceof Refusal || error instanceof NoAnswer) throw error;
    throw unanswered ?? new NoAnswer(`${server.url} closed the stream early: ${causeOf(error)}`);
  }
}

/** The same response, whose body fails when nothing comes of it for too long. */
function unlessSilent(response: Response): Response {
  let timer: NodeJS.Timeout | undefined;
  const listen = (body: TransformStreamDefaultController) => {
    clearTimeout(timer);
    timer = setTimeout(() => body.error(new Error(`no data for ${SILENCE_MS} ms`)), SILENCE_MS).unref();
  };
  const watched = new TransformStream<Uint8Array, Uint8Array>({
    start: listen,
    transform(chunk, body) {
      listen(body);
      body.enqueue(chunk);
    },
    flush: () => clearTimeout(timer),
  });
  return new Response(response.body?.pipeThrough(watched) ?? null, response);
}

async function post({ url, key }: Server, accept: string, body: unknown, signal?: AbortSignal): Promise<Response> {
  const headers = {
    accept,
    'content-type': 'application/json',
    ...(key !== undefined && { authorization: `Bearer ${key}` }),
  };
  const sent = { method: 'POST', headers, body: JSON.stringify(body), ...(signal && { signal }) };
  try {
    return await fetch(url, sent);
  } catch (error) {
    throw new NoAnswer(`nothing answers at ${url}: ${causeOf(error)}`);
  }
}

async function textOf({ url }: Server, response: Response): Promise<string> {
  try {
    return await response.text();
  } catch (error) {
    throw new NoAnswer(`${url} closed the connection early: ${causeOf(error)}`);
  }
}

function read<T>(data: z.ZodType<T>, text: string, server: Server, status: number): T {
  return parse(data, jsonOf(text), server, status);
}

function parse<T>(data: z.ZodType<T>, result: unknown, { url }: Server, status: number): T {
  const answer = answerSchema.safeParse(result);
  if (answer.data?.errors) throw new Refusal(answer.data.errors);
  const parsed = data.safeParse(answer.data?.data);
  if (!parsed.success)
    throw new NoAnswer(`${url} answered with HTTP ${status}, but not as Foretell does; check the URL`);
  return parsed.data;
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** The message of fetch is "fetch failed"; its cause has the reason. */
function causeOf(error: unknown): string {
  const cause = error instanceof Error && error.cause ? error.cause : error;
  const { code } = Object(cause) as { code?: unknown };
  return messageOf(cause) || String(code);
}
