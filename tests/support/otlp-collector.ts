import { EventEmitter, once } from 'node:events';
import { createServer, type IncomingMessage } from 'node:http';
import { onTestFinished } from 'vitest';
import { z } from 'zod';

/** A span as a collector sees it. */
export interface CollectedSpan {
  service: unknown;
  name: string;
  kind: 'internal' | 'server' | 'client' | 'producer' | 'consumer' | 'unspecified';
  traceId: string;
  spanId: string;
  /** Empty for the first of a trace. */
  parentSpanId: string;
  attributes: Record<string, unknown>;
  /** Nanoseconds since the epoch, like `endedAt`. */
  startedAt: bigint;
  endedAt: bigint;
  /** What an error said. */
  failure: string | undefined;
}

export interface OtlpCollector {
  /** For OTEL_EXPORTER_OTLP_ENDPOINT. */
  url: string;
  /** Every span so far, in order of arrival. */
  spans(): CollectedSpan[];
  /** Waits until a span of each of these names has come, and gives the first of each. */
  first(...names: string[]): Promise<CollectedSpan[]>;
  /** Requests so far, also those that were refused or left without an answer. */
  requests(): number;
  /** Waits until this many have come. */
  requested(count: number): Promise<void>;
  close(): Promise<void>;
}

const KINDS = ['unspecified', 'internal', 'server', 'client', 'producer', 'consumer'] as const;

const attributes = z
  .array(z.object({ key: z.string(), value: z.record(z.string(), z.unknown()) }))
  .default([])
  .transform((list) => Object.fromEntries(list.map(({ key, value }) => [key, Object.values(value)[0]])));

const span = z.object({
  name: z.string(),
  kind: z.int(),
  traceId: z.string(),
  spanId: z.string(),
  parentSpanId: z.string().default(''),
  startTimeUnixNano: z.string(),
  endTimeUnixNano: z.string(),
  attributes,
  status: z.object({ code: z.int().default(0), message: z.string().optional() }),
});

const request = z.object({
  resourceSpans: z.array(
    z.object({ resource: z.object({ attributes }), scopeSpans: z.array(z.object({ spans: z.array(span) })) }),
  ),
});

/** A collector that takes OTLP over HTTP as JSON; closed when the test has finished. */
export async function openOtlpCollector({
  port = 0,
  answer = 200,
}: {
  port?: number;
  /** The status of every answer, or none. Spans count only where it is 200. */
  answer?: number | 'never';
} = {}): Promise<OtlpCollector> {
  const spans: CollectedSpan[] = [];
  const changes = new EventEmitter().setMaxListeners(0);
  let requests = 0;

  async function take(incoming: IncomingMessage): Promise<void> {
    const text = Buffer.concat(await incoming.toArray()).toString();
    if (incoming.url !== '/v1/traces') throw new Error(`expected /v1/traces, got ${incoming.url}`);
    if (answer === 200) spans.push(...request.parse(JSON.parse(text)).resourceSpans.flatMap(spansOf));
    requests += 1;
    changes.emit('changed');
  }

  async function until<T>(read: () => T | undefined): Promise<T> {
    for (;;) {
      const found = read();
      if (found !== undefined) return found;
      await once(changes, 'changed');
    }
  }

  const server = createServer((incoming, response) => {
    take(incoming).then(
      () => answer !== 'never' && response.writeHead(answer, { 'content-type': 'application/json' }).end('{}'),
      (error) => response.writeHead(400).end(String(error)),
    );
  });
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const close = async () => {
    server.closeAllConnections();
    if (server.listening) await new Promise((resolve) => server.close(resolve));
  };
  onTestFinished(close);

  return {
    url: `http://127.0.0.1:${typeof address === 'object' && address ? address.port : port}`,
    spans: () => [...spans],
    first: (...names) =>
      until(() => {
        const found = names.flatMap((name) => spans.find((each) => each.name === name) ?? []);
        return found.length === names.length ? found : undefined;
      }),
    requests: () => requests,
    requested: async (count) => {
      await until(() => (requests >= count ? true : undefined));
    },
    close,
  };
}

function spansOf({ resource, scopeSpans }: z.infer<typeof request>['resourceSpans'][number]): CollectedSpan[] {
  return scopeSpans.flatMap(({ spans }) =>
    spans.map(({ name, kind, traceId, spanId, parentSpanId, status, ...rest }) => ({
      service: resource.attributes['service.name'],
      name,
      kind: KINDS[kind] ?? 'unspecified',
      traceId,
      spanId,
      parentSpanId,
      attributes: rest.attributes,
      startedAt: BigInt(rest.startTimeUnixNano),
      endedAt: BigInt(rest.endTimeUnixNano),
      failure: status.code === 2 ? (status.message ?? '') : undefined,
    })),
  );
}
