import { z } from 'zod';
import { messageOf } from '../src/errors.ts';
import { readServerSettings } from '../src/process/config.ts';
import { type Given, type Option, UsageError } from './command.ts';

/** A running Foretell, to be asked over HTTP. */
export interface Server {
  url: string;
  key: string | undefined;
}

/** Foretell pings every twelve seconds: a stream that is silent for so long has lost its server. */
const SILENCE_MS = 45_000;

const DEFAULT_URL = 'http://127.0.0.1:4000/graphql';

export const SERVER_OPTIONS: Record<string, Option> = {
  url: { value: 'URL', purpose: `where the API is; default: FORETELL_URL, or ${DEFAULT_URL}` },
  key: { value: 'KEY', purpose: 'API key, where it asks for one; default: FORETELL_KEY, which others cannot see' },
};

/** The server that is named by an option, by the environment, or by neither. Throws `UsageError`. */
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

/** The server's own no. */
export class Refusal extends Error {
  readonly codes: readonly string[];

  constructor(errors: z.infer<typeof errorsSchema>) {
    super(errors.map(({ message, extensions }) => [extensions?.code, message].filter(Boolean).join(': ')).join('; '));
    this.codes = errors.flatMap(({ extensions }) => extensions?.code ?? []);
  }
}

/** No answer: nobody listens, the connection was lost, or something else is there. */
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
  const headers = { ...headersOf(server), accept: 'application/json', 'content-type': 'application/json' };
  const response = await request(server, { method: 'POST', headers, body: JSON.stringify({ query, variables }) });
  return read(data, await answerOf(server, response), server, response.status);
}

/**
 * Yields the results of one subscription until it completes. Throws `Refusal`, or `NoAnswer` if the stream ends before that.
 * It does not reconnect: which error may pass is known to those who subscribe.
 */
export async function* subscribe<T>(
  server: Server,
  data: z.ZodType<T>,
  query: string,
  variables: Record<string, unknown>,
): AsyncGenerator<T, void> {
  // Loaded here: it brings the GraphQL library, which no other command needs.
  const { createClient } = await import('graphql-sse');
  // The client wraps an error, and keeps its message alone.
  let refused: unknown;
  const client = createClient({
    url: server.url,
    headers: headersOf(server),
    retryAttempts: 0,
    fetchFn: (_url: string, init: RequestInit) =>
      stream(server, init).catch((error: unknown) => {
        refused = error;
        throw error;
      }),
  });
  try {
    for await (const result of client.iterate({ query, variables })) yield read(data, result, server, 200);
  } catch (error) {
    if (error instanceof Refusal || error instanceof NoAnswer) throw error;
    throw refused ?? new NoAnswer(`${server.url} closed the stream too early: ${causeOf(error)}`);
  }
}

/** Opens a stream of events; its body fails when the server is silent for too long. Throws `Refusal` or `NoAnswer`. */
async function stream(server: Server, init: RequestInit): Promise<{ ok: true; body: AsyncIterable<Uint8Array> }> {
  const silence = new AbortController();
  const signals = [silence.signal, ...(init.signal ? [init.signal] : [])];
  const response = await request(server, { ...init, signal: AbortSignal.any(signals) });
  if (!response.body || !response.headers.get('content-type')?.startsWith('text/event-stream')) {
    return read(z.never(), await answerOf(server, response), server, response.status);
  }
  return { ok: true, body: chunksOf(response.body, silence) };
}

async function* chunksOf(body: ReadableStream<Uint8Array>, silence: AbortController): AsyncGenerator<Uint8Array> {
  const timer = setTimeout(() => silence.abort(new Error(`silent for ${SILENCE_MS} ms`)), SILENCE_MS);
  try {
    for await (const chunk of body) {
      timer.refresh();
      yield chunk;
    }
  } finally {
    clearTimeout(timer);
  }
}

function headersOf({ key }: Server): Record<string, string> {
  return key === undefined ? {} : { authorization: `Bearer ${key}` };
}

async function request({ url }: Server, init: RequestInit): Promise<Response> {
  try {
    return await fetch(url, init);
  } catch (error) {
    throw new NoAnswer(`nothing answers at ${url}: ${causeOf(error)}`);
  }
}

async function answerOf({ url }: Server, response: Response): Promise<unknown> {
  try {
    return jsonOf(await response.text());
  } catch (error) {
    throw new NoAnswer(`${url} closed the connection too early: ${causeOf(error)}`);
  }
}

function read<T>(data: z.ZodType<T>, result: unknown, { url }: Server, status: number): T {
  const answer = answerSchema.safeParse(result);
  if (answer.data?.errors) throw new Refusal(answer.data.errors);
  const parsed = data.safeParse(answer.data?.data);
  if (!parsed.success) throw new NoAnswer(`${url} answered with HTTP ${status}, and not as Foretell does`);
  return parsed.data;
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** What fetch itself says is "fetch failed"; why stands behind it. */
function causeOf(error: unknown): string {
  const cause = error instanceof Error && error.cause ? error.cause : error;
  const { code } = Object(cause) as { code?: unknown };
  return messageOf(cause) || String(code);
}
