import { freePort } from '../tests/support/free-port.ts';
import { type Rabbitmq, startRabbitmq } from '../tests/support/rabbitmq.ts';
import { type RedisServer, startRedis } from '../tests/support/redis.ts';
import { type Measured, startMeasured } from './processes.ts';

/** API and worker, of Foretell or of the floor. */
export interface Deployment {
  url: string;
  api: Measured;
  worker: Measured;
}

/** Where measures happen: a RabbitMQ and a Redis of their own, and processes on them. */
export interface Stage {
  rabbitmq: Rabbitmq;
  redis: RedisServer;
  /** How often each figure is taken; its median counts. */
  rounds: number;
  /** Says how far it is. */
  progress(text: string): void;
  /** Runs Foretell, ended when `use` has. Settings are those of docs/settings.md. */
  foretell<T>(settings: Record<string, string>, use: (deployment: Deployment) => Promise<T>): Promise<T>;
  /** The same with the floor. */
  floor<T>(use: (deployment: Deployment) => Promise<T>): Promise<T>;
  close(): Promise<void>;
}

export async function openStage(options: {
  rounds: number;
  profiles: string | undefined;
  progress: Stage['progress'];
}): Promise<Stage> {
  const [rabbitmq, redis] = await Promise.all([startRabbitmq(), startRedis({ appendonly: true })]);
  // Foretell's own processes see to the last by themselves.
  const servers = { BROKER_URL: rabbitmq.url, STORE_URL: redis.url, ORT_DISABLE_TELEMETRY: '1' };
  let deployments = 0;

  async function deploy<T>(
    files: { api: string; worker: string; isForetell: boolean },
    settings: Record<string, string>,
    use: (deployment: Deployment) => Promise<T>,
  ): Promise<T> {
    deployments += 1;
    const start = async (what: 'api' | 'worker') => {
      const port = String(await freePort());
      const readyUrl = `http://127.0.0.1:${port}/readyz`;
      const env = { ...servers, ...settings, PORT: port, WORKER_PORT: port };
      const args = files.isForetell ? [what] : [];
      const name = `${deployments}-${what}`;
      const profile = options.profiles && files.isForetell ? { directory: options.profiles, name } : undefined;
      return { port, measured: await startMeasured({ file: files[what], args, env, readyUrl, profile }) };
    };
    const worker = await start('worker');
    const api = await start('api');
    try {
      return await use({ url: `http://127.0.0.1:${api.port}`, api: api.measured, worker: worker.measured });
    } finally {
      await Promise.all([api.measured.close(), worker.measured.close()]);
      await redis.cli('FLUSHALL');
    }
  }

  return {
    rabbitmq,
    redis,
    rounds: options.rounds,
    progress: options.progress,
    foretell: (settings, use) =>
      deploy({ api: 'bin/foretell.ts', worker: 'bin/foretell.ts', isForetell: true }, settings, use),
    floor: (use) => deploy({ api: 'bench/floor/api.ts', worker: 'bench/floor/worker.ts', isForetell: false }, {}, use),
    close: async () => {
      await Promise.all([rabbitmq.close(), redis.close()]);
    },
  };
}
