import type { Log } from '../process/log.ts';
import { NO_TRACING, type Tracing } from './tracing.ts';

/** Sends spans to the collector at `endpoint` (the address before `/v1/traces`), which need not be there yet; without one, no spans. */
export async function openTracing(options: {
  endpoint: string | undefined;
  /** What the process is called in traces. */
  service: string;
  log: Log;
}): Promise<Tracing> {
  const { endpoint, service, log } = options;
  if (endpoint === undefined) return NO_TRACING;
  // Loaded here alone: OpenTelemetry takes a tenth of a second and ten megabytes, which a process without traces saves.
  const { createOtlpTracing } = await import('./tracing-otlp.ts');
  return createOtlpTracing({ endpoint, service, log });
}
