import { mkdir, writeFile } from 'node:fs/promises';
import { beforeAll, onTestFailed, vi } from 'vitest';
import { Client } from './client.ts';
import type { ModelFixture } from './model-files.ts';
import { modelsDir } from './models-dir.ts';
import { type Place, type RunningProcess, type Settings, startProcess } from './processes.ts';
import { type Rabbitmq, startRabbitmq } from './rabbitmq.ts';
import { type RedisServer, startRedis } from './redis.ts';
import { KNOWN_MODELS } from './samples.ts';
import { borrowRabbitmq, type SharedRabbitmq } from './shared-rabbitmq.ts';

/** A RabbitMQ and a Redis that nobody else uses, so that a case may do to them what it likes. */
export interface PrivateServers {
  rabbitmq: Rabbitmq;
  redis: RedisServer;
}

/** A case takes seconds; on a machine that is busy otherwise it may take minutes, and still be right. */
const TEST_TIMEOUT_MS = 240_000;

/** The same, with a RabbitMQ of which a case has one virtual host: it may do to Redis alone what it likes. */
export interface FleetServers {
  rabbitmq: SharedRabbitmq;
  redis: RedisServer;
}

/** Starts both before the tests of a file, and ends them after it: RabbitMQ takes seconds to start. Every test leaves them running. */
export function usePrivateServers(): () => PrivateServers {
  return useServersOf(async () => {
    const rabbitmq = await startRabbitmq();
    return { rabbitmq, close: rabbitmq.close };
  });
}

/** For the cases that leave RabbitMQ alone: most of what they would compute is its start. */
export function useFleetServers(): () => FleetServers {
  return useServersOf(async () => ({ rabbitmq: await borrowRabbitmq(), close: async () => {} }));
}

function useServersOf<T>(open: () => Promise<{ rabbitmq: T; close(): Promise<void> }>) {
  let servers: { rabbitmq: T; redis: RedisServer } | undefined;
  vi.setConfig({ testTimeout: TEST_TIMEOUT_MS });
  beforeAll(async () => {
    const [{ rabbitmq, close }, redis] = await Promise.all([open(), startRedis({ appendonly: true })]);
    servers = { rabbitmq, redis };
    return () => Promise.all([close(), redis.close()]);
  });
  return () => {
    if (!servers) throw new Error('expected to be called in a test');
    return servers;
  };
}

export interface FleetOptions {
  /** @default 1 */
  apis?: number;
  /** @default 1 */
  workers?: number;
  /** @default KNOWN_MODELS */
  models?: Record<string, ModelFixture>;
  /** Of every process. @default one inference process for each worker */
  settings?: Settings;
  /** Where and how the APIs are run. */
  apiPlace?: Place;
}

/** Some APIs and workers, each a process of its own. */
export interface Fleet {
  /** Those that were started so far, the oldest first. */
  apis: RunningProcess[];
  workers: RunningProcess[];
  /** A client of one API; of the first, unless another is named. */
  client(api?: number): Client;
  /** Starts one more, and waits until it is ready. */
  startApi(): Promise<RunningProcess>;
  startWorker(): Promise<RunningProcess>;
  /** Waits until every process that lives is ready. */
  ready(): Promise<void>;
}

/** Starts a fleet, and waits until all of it is ready; ended when the test has finished. If the test fails, its logs are in `.vitest/faults`. */
export async function startFleet<T extends FleetServers>(servers: T, options: FleetOptions = {}): Promise<Fleet & T> {
  const { apis: apiCount = 1, workers: workerCount = 1, models = KNOWN_MODELS } = options;
  const settings = {
    BROKER_URL: servers.rabbitmq.url,
    STORE_URL: servers.redis.url,
    WORKER_SLOTS: '1',
    MODELS_DIR: await modelsDir(models),
    ...options.settings,
  };
  const apis: RunningProcess[] = [];
  const workers: RunningProcess[] = [];
  const start = async (command: 'api' | 'worker') => {
    const started = await startProcess(command, settings, command === 'api' ? options.apiPlace : {});
    (command === 'api' ? apis : workers).push(started);
    await started.ready();
    return started;
  };
  onTestFailed(async ({ task }) => {
    const directory = `.vitest/faults/${task.name.replace(/\W+/g, '-').slice(0, 60)}`;
    await mkdir(directory, { recursive: true });
    for (const [i, api] of apis.entries()) await writeFile(`${directory}/api-${i}.log`, api.output());
    for (const [i, worker] of workers.entries()) await writeFile(`${directory}/worker-${i}.log`, worker.output());
  });
  await Promise.all([
    ...Array.from({ length: apiCount }, () => start('api')),
    ...Array.from({ length: workerCount }, () => start('worker')),
  ]);
  return {
    ...servers,
    apis,
    workers,
    client: (api = 0) => new Client(apis[api]?.url ?? ''),
    startApi: () => start('api'),
    startWorker: () => start('worker'),
    async ready() {
      await Promise.all([...apis, ...workers].filter((each) => each.isAlive()).map((each) => each.ready()));
    },
  };
}
