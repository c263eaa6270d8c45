import type { Broker } from './broker/broker.ts';
import { openBroker } from './broker/open.ts';
import { boundsFor, readCapacity } from './ledger/capacity.ts';
import { createLedger, type Ledger } from './ledger/ledger.ts';
import { type OpenedStore, openStore, type StoreConfig } from './open-store.ts';
import type { Config } from './process/config.ts';
import type { Lifecycle } from './process/lifecycle.ts';
import type { Log } from './process/log.ts';
import { createMetrics, type Metrics } from './telemetry/metrics.ts';
import type { Tracing } from './telemetry/tracing.ts';
import { openTracing } from './telemetry/tracing-open.ts';

/** What API and worker meet through, and what they tell. */
export interface Services extends Omit<OpenedStore, 'close'> {
  broker: Broker;
  metrics: Metrics;
  tracing: Tracing;
  /** What this process holds for its clients. */
  ledger: Ledger;
}

/** Opens broker and store as the settings say. Resolves at once: they connect in the background, and again whenever they are lost. */
export async function openServices(
  config: Config & Pick<StoreConfig, 'subscribedTo'>,
  log: Log,
  lifecycle: Lifecycle,
): Promise<Services> {
  const metrics = createMetrics();
  const tracing = await openTracing({ endpoint: config.otlpEndpoint, service: config.serviceName, log });
  lifecycle.onClose(() => tracing.close());
  const { close, ...kept } = await openStore(
    { ...config, onReconnect: (connection) => metrics.reconnected(`redis ${connection}`) },
    log,
  );
  lifecycle.onClose(close);
  const broker = await openBroker(config.brokerUrl, log, {
    onReconnect: (connection) => metrics.reconnected(`broker ${connection}`),
  });
  lifecycle.onClose(() => broker.close());
  return { broker, ...kept, metrics, tracing, ledger: createLedger(boundsFor(readCapacity())) };
}
