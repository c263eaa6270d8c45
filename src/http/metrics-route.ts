import type { ServerResponse } from 'node:http';
import type { Log } from '../log.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import type { Route } from './http-server.ts';

/** `/metrics`: what the process counts, for Prometheus. */
export function metricsRoute(metrics: Metrics, log: Log): Route {
  return (_request, response, path) => {
    if (path !== '/metrics') return false;
    void answer(response, metrics, log);
    return true;
  };
}

async function answer(response: ServerResponse, metrics: Metrics, log: Log): Promise<void> {
  try {
    const text = await metrics.exposition();
    response.writeHead(200, { 'content-type': metrics.contentType, 'content-length': Buffer.byteLength(text) });
    response.end(text);
  } catch (err) {
    log.error({ err }, 'metrics not read');
    response.writeHead(500).end();
  }
}
