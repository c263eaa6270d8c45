import type { IncomingMessage, ServerResponse } from 'node:http';
import { type Config, isLoopback } from '../../process/config.ts';
import type { Log } from '../../process/log.ts';
import type { Metrics } from '../../telemetry/metrics.ts';
import { hostnameOf, type Route } from './http-server.ts';
import { refuse } from './refusal.ts';
import type { OnRefusedKey } from './refused-keys.ts';

/** What proxies add: a request with one of these comes from elsewhere, whatever machine the proxy runs on. */
const FORWARDED = ['forwarded', 'via', 'x-forwarded-for', 'x-forwarded-host', 'x-forwarded-proto', 'x-real-ip'];

export interface MetricsRouteOptions {
  metrics: Metrics;
  config: Pick<Config, 'apiKeys' | 'metricsKey'>;
  onRefusedKey: OnRefusedKey;
  log: Log;
}

/** `/metrics`: what the process counts, for Prometheus. Where keys are set, METRICS_KEY opens it, and this machine needs none. */
export function metricsRoute({ metrics, config, onRefusedKey, log }: MetricsRouteOptions): Route {
  const { apiKeys, metricsKey } = config;
  return (request, response, path) => {
    if (path !== '/metrics') return false;
    const isGuarded = apiKeys.required || metricsKey !== undefined;
    const isKnown = metricsKey?.ownerOf(request.headers.authorization) !== undefined;
    if (!isGuarded || isKnown || isOfThisMachine(request)) {
      void answer(response, metrics, log);
      return true;
    }
    onRefusedKey(request);
    response.setHeader('www-authenticate', 'Bearer');
    const message = 'expected the header `Authorization: Bearer <METRICS_KEY>`, or a request from the same machine';
    refuse(response, 401, 'UNAUTHENTICATED', message);
    return true;
  };
}

/** By the address that it comes from. A name of elsewhere shows that a proxy hands it on, or that a page lets its own name lead here. */
function isOfThisMachine(request: IncomingMessage): boolean {
  const { socket, headers } = request;
  const address = socket.remoteAddress?.replace(/^::ffff:/, '') ?? '';
  const isForwarded = FORWARDED.some((name) => headers[name] !== undefined);
  return isLoopback(address) && isLoopback(hostnameOf(request) ?? '') && !isForwarded;
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
