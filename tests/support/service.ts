import { beforeAll, onTestFinished, vi } from 'vitest';
import { type Api, openApi } from '../../src/api/open.ts';
import { type Lane, predictionQueue } from '../../src/broker/topology.ts';
import { type BoundName, createLedger } from '../../src/ledger/ledger.ts';
import { ApiKeys } from '../../src/process/api-keys.ts';
import { type Config, readConfig } from '../../src/process/config.ts';
import { createLifecycle } from '../../src/process/lifecycle.ts';
import { createLog } from '../../src/process/log.ts';
import { openServices, type Services } from '../../src/services.ts';
import { type OpenWorker, openWorker } from '../../workers/open.ts';
import { Client } from './client.ts';
import { startRedis } from './redis.ts';
import { borrowRabbitmq } from './shared-rabbitmq.ts';

/** Both ways to run Foretell: everything that a client can see must be the same. */
export const PAIRS = ['embedded', 'RabbitMQ and Redis'] as const;
export type Pair = (typeof PAIRS)[number];

/** Where broker and store are, for a file's tests. Both are the file's own, a virtual host and a Redis, so that no other file's tasks get in. */
export interface Servers {
  brokerUrl: string;
  storeUrl: string;
}

/** Starts what a pair needs before the tests of a file and ends it after them; the URLs are there once the tests run. */
export function useServers(pair: Pair): Servers {
  const servers: Servers = { brokerUrl: 'memory:', storeUrl: 'memory:' };
  if (pair === 'embedded') return servers;
  beforeAll(async () => {
    const [rabbitmq, redis] = await Promise.all([borrowRabbitmq(), startRedis({ appendonly: true })]);
    Object.assign(servers, { brokerUrl: rabbitmq.url, storeUrl: redis.url });
    return redis.close;
  });
  return servers;
}

export interface Service extends Services {
  /** Where its broker and store are. */
  servers: Servers;
  client: Client;
  api: Api;
  worker: OpenWorker | undefined;
  /** How many messages wait for a model, asked until it is answered: a busy broker may take longer than one call waits. */
  waiting(model: string, lane?: Lane): Promise<number>;
  close(): Promise<void>;
}

export interface ServiceOptions extends Partial<Omit<Config, 'apiKeys'>> {
  servers: Servers;
  /** `owner:key` pairs. */
  keys?: string;
  /** Which key the service's own client uses. */
  key?: string;
  /** @default true */
  withWorker?: boolean;
  /** What the process bounds. @default as the machine lets it */
  bounds?: Partial<Record<BoundName, number>>;
}

/** API and worker in this process, on a free port. Closes with the test, unless it was opened outside of one. */
export async function openService(options: ServiceOptions): Promise<Service> {
  const { servers, keys = '', key, withWorker = true, bounds, ...more } = options;
  const log = createLog('silent', 'test');
  const config: Config = {
    ...readConfig('start', { PORT: '0', WORKER_SLOTS: '2' }),
    ...servers,
    apiKeys: ApiKeys.parse(keys),
    ...more,
  };
  const lifecycle = createLifecycle(log);
  const opened = await openServices(config, log, lifecycle);
  const services = bounds ? { ...opened, ledger: createLedger(bounds) } : opened;
  const worker = withWorker ? await openWorker(config, services, log) : undefined;
  lifecycle.onClose(() => worker?.close());
  const api = await openApi(config, services, log);
  lifecycle.onClose(() => api.close());
  const waiting = (model: string, lane: Lane = 'normal') =>
    vi.waitFor(() => services.broker.depth(predictionQueue(model, lane)), { timeout: 20_000 });
  return { ...services, servers, client: new Client(api.url, key), api, worker, waiting, close: lifecycle.close };
}

/** The service of one test, which closes it and fails if a listener is left behind. */
export async function startService(options: ServiceOptions): Promise<Service> {
  const service = await openService(options);
  onTestFinished(async () => {
    await service.close();
    if (service.store.watching() > 0) throw new Error(`${service.store.watching()} listeners were left behind`);
  });
  return service;
}
