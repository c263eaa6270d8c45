import { healthRoute } from '../src/api/http/health.ts';
import { openHttpServer } from '../src/api/http/http-server.ts';
import { metricsRoute } from '../src/api/http/metrics-route.ts';
import { createRefusedKeys } from '../src/api/http/refused-keys.ts';
import { openServices } from '../src/services.ts';
import { type OpenWorker, openWorker } from '../workers/open.ts';
import type { Start } from './start.ts';

/** The worker process. */
export const worker: Start = async (config, log, lifecycle) => {
  const services = await openServices({ ...config, subscribedTo: 'stops' }, log, lifecycle);
  const { broker, store } = services;
  let opened: OpenWorker | undefined;
  if (config.workerPort !== undefined) {
    const health = () => ({
      broker: broker.isReady(),
      store: store.isReady(),
      models: opened && !opened.pool.isFailing() ? opened.repository.models().length : 0,
    });
    const metrics = metricsRoute({ metrics: services.metrics, config, onRefusedKey: createRefusedKeys(log), log });
    const routes = [healthRoute(health), metrics];
    const server = await openHttpServer({ host: config.host, port: config.workerPort, routes });
    lifecycle.onClose(() => server.close());
    log.info({ url: server.url }, 'worker listening');
  }
  opened = await openWorker(config, services, log);
  lifecycle.onClose(opened.close);
  const models = opened.repository.models().map(({ served }) => `${served.name} ${served.version}`);
  log.info({ models, slots: config.workerSlots }, 'worker started');
};
