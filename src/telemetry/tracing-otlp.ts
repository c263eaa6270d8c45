import { randomUUID } from 'node:crypto';
import {
  isSpanContextValid,
  type Context as OtelContext,
  type Span as OtelSpan,
  SpanKind as OtelSpanKind,
  ROOT_CONTEXT,
  type SpanContext,
  SpanStatusCode,
  TraceFlags,
  trace,
} from '@opentelemetry/api';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { defaultResource, resourceFromAttributes } from '@opentelemetry/resources';
import { BatchSpanProcessor, type ReadableSpan, TracerProvider } from '@opentelemetry/sdk-trace';
import { within } from '../async/within.ts';
import { messageOf } from '../errors.ts';
import type { Log } from '../process/log.ts';
import type { Span, SpanKind, SpanOptions, Tracing } from './tracing.ts';

/** Ended spans that wait for the collector; beyond that they are dropped. */
const WAITING_MAX = 2_048;

/** Spans go out together after this time, or as soon as they fill a request. */
const GATHER_MS = 1_000;
const BATCH_MAX = 512;

/** How long a request may take, its repetitions included. */
const EXPORT_MS = 5_000;

/** Requests follow one another; at the close all that waits goes out at once. */
const EXPORTS_MAX = 1 + WAITING_MAX / BATCH_MAX;

/** How long `close` waits for the last request. */
const FLUSH_MS = 2_000;

/** Characters of one attribute or message. */
const VALUE_LENGTH_MAX = 1_024;

/** `https://collector:4318` and a path where there is one; a user and a password go as they stand. */
export function createOtlpTracing(options: { endpoint: string; service: string; log: Log }): Tracing {
  const { endpoint, service, log } = options;
  const url = new URL(endpoint);
  url.pathname = url.pathname.replace(/\/*$/, '/v1/traces');
  const exporter = new ReportingExporter(url, log);
  const provider = new TracerProvider({
    resource: defaultResource().merge(
      resourceFromAttributes({ 'service.name': service, 'service.instance.id': randomUUID() }),
    ),
    spanLimits: { attributeValueLengthLimit: VALUE_LENGTH_MAX },
    spanProcessors: [
      new BatchSpanProcessor({
        exporter,
        maxQueueSize: WAITING_MAX,
        maxExportBatchSize: BATCH_MAX,
        scheduledDelayMillis: GATHER_MS,
        // A request ends by itself, and the next must not overtake it: an outage would seem to be over that is not.
        exportTimeoutMillis: 3 * EXPORT_MS,
      }),
    ],
  });
  const tracer = provider.getTracer('foretell');

  const start = (name: string, { kind = 'internal', parent, attributes = () => ({}) }: SpanOptions): Span =>
    spanOf(tracer.startSpan(name, { kind: KINDS[kind], attributes: attributes() }, contextOf(parent)));
  return {
    start,
    async span(name, spanOptions, work) {
      const span = start(name, spanOptions);
      try {
        const result = await work(span);
        span.end();
        return result;
      } catch (error) {
        span.end(error);
        throw error;
      }
    },
    async close() {
      // It rejects with the first request that fails, which the exporter has told of; others may still be on their way.
      const flushed = provider.shutdown().catch(() => exporter.forceFlush());
      await within(FLUSH_MS, flushed);
    },
  };
}

const KINDS: Record<SpanKind, OtelSpanKind> = {
  internal: OtelSpanKind.INTERNAL,
  server: OtelSpanKind.SERVER,
  producer: OtelSpanKind.PRODUCER,
  consumer: OtelSpanKind.CONSUMER,
};

function spanOf(span: OtelSpan): Span {
  return {
    traceparent: traceparentOf(span.spanContext()),
    set: (attributes) => void span.setAttributes(attributes),
    end(error) {
      if (error !== undefined) {
        span.setAttribute('error.type', typeOf(error));
        span.setStatus({ code: SpanStatusCode.ERROR, message: messageOf(error).slice(0, VALUE_LENGTH_MAX) });
      }
      span.end();
    },
  };
}

/** A code where the error has one: messages differ from case to case. */
function typeOf(error: unknown): string {
  if (!(error instanceof Error)) return typeof error;
  return 'code' in error && typeof error.code === 'string' ? error.code : error.name;
}

function traceparentOf({ traceId, spanId, traceFlags }: SpanContext): string {
  return `00-${traceId}-${spanId}-${(traceFlags & TraceFlags.SAMPLED).toString(16).padStart(2, '0')}`;
}

/** Version, trace, span, flags; a version yet to come may have more behind. */
const TRACEPARENT = /^(?!ff)([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/;

/** It comes from clients and other processes: what is malformed is left out, as W3C Trace Context asks. */
function contextOf(traceparent: string | undefined): OtelContext {
  const [, version, traceId, spanId, flags, more] = TRACEPARENT.exec(traceparent ?? '') ?? [];
  if (!traceId || !spanId || !flags || (version === '00' && more !== undefined)) return ROOT_CONTEXT;
  const parent = { traceId, spanId, traceFlags: Number.parseInt(flags, 16) & TraceFlags.SAMPLED, isRemote: true };
  return isSpanContextValid(parent) ? trace.setSpanContext(ROOT_CONTEXT, parent) : ROOT_CONTEXT;
}

/** Tells of a collector that does not take what it is sent: once, and when it does again. */
class ReportingExporter extends OTLPTraceExporter {
  readonly #log: Log;
  readonly #collector: string;
  #dropped = 0;

  constructor(url: URL, log: Log) {
    super({
      url: url.href,
      timeoutMillis: EXPORT_MS,
      concurrencyLimit: EXPORTS_MAX,
      // The time of a request alone begins when it is connected: packets that vanish would be waited for much longer.
      httpAgentOptions: { keepAlive: true, timeout: EXPORT_MS },
    });
    this.#log = log;
    this.#collector = url.host;
  }

  override export(...[spans, done]: Parameters<OTLPTraceExporter['export']>): void {
    super.export(spans, (result) => {
      this.#report(spans, result.error);
      done(result);
    });
  }

  #report(spans: readonly ReadableSpan[], error: Error | undefined): void {
    const fields = { collector: this.#collector };
    if (error) {
      // Not the error itself: it may carry the whole answer. Where every address of a name refused, its code is all it says.
      const said = { code: 'code' in error ? error.code : undefined, error: messageOf(error) };
      if (this.#dropped === 0) this.#log.warn({ ...fields, ...said }, 'trace collector rejects spans');
      this.#dropped += spans.length;
    } else if (this.#dropped > 0) {
      this.#log.info({ ...fields, dropped: this.#dropped }, 'trace collector accepts spans again');
      this.#dropped = 0;
    }
  }
}
