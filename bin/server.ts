import { z } from 'zod';
import { messageOf } from '../src/errors.ts';
import { readServerSettings } from '../src/process/config.ts';
import { type Given, type Option, UsageError } from './command.ts';
import { eventsIn } from './server-sent-events.ts';

/** A running Foretell, to be asked over HTTP. */
export interface Server {
  url: string;
  key: string | undefined;
}

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
  const response = await post(server, 'application/json', { query, variables });
  return read(data, await textOf(server, response), server, response.status);
}

/** One subscription: what it tells, until it is complete. Throws `Refusal`; `NoAnswer` also where it is cut off before its end. */
export async function* subscribe<T>(
  server: Server,
  data: z.ZodType<T>,
  query: string,
  variables: Record<string, unknown>,
): AsyncGenerator<T, void> {
  const silence = new AbortController();
  const response = await post(server, 'text/event-stream', { query, variables }, silence.signal);
  if (!response.body || !response.headers.get('content-type')?.startsWith('text/event-stream')) {
    read(data, await textOf(server, response), server, response.status);
    throw new NoAnswer(`${server.url} answered a subscription without a stream`);
  }
  try {
    for await (const event of eventsIn(response.body, silence)) {
      if (event.name === 'complete') return;
      if (event.name === 'next') yield read(data, event.data, server, response.status);
    }
  } catch (error) {
    if (error instanceof Refusal || error instanceof NoAnswer) throw error;
    throw new NoAnswer(`${server.url} broke off: ${causeOf(error)}`);
  }
  throw new NoAnswer(`${server.url} broke off`);
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
    throw new NoAnswer(`${url} broke off: ${causeOf(error)}`);
  }
}

function read<T>(data: z.ZodType<T>, text: string, { url }: Server, status: number): T {
  const answer = answerSchema.safeParse(jsonOf(text));
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
