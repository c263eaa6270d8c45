import { afterAll, beforeAll, expect, test } from 'vitest';
import { Client } from '../support/client.ts';
import { freePort } from '../support/free-port.ts';
import { FLOWER } from '../support/models.ts';
import { type RunningProcess, startProcess } from '../support/processes.ts';
import { type Rabbitmq, startRabbitmq } from '../support/rabbitmq.ts';
import { type RedisServer, startRedis } from '../support/redis.ts';

/** A client that is refused should know so soon enough to try elsewhere. */
const REFUSAL_MS_MAX = 6_000;
const WAIT = { waitMs: 30_000 };
const SUBMIT = 'mutation ($input: PredictionInput!) { submitPrediction(input: $input) { id } }';

let brokerPort: number;
let storePort: number;
let servers: Promise<readonly [Rabbitmq, RedisServer]> | undefined;
beforeAll(async () => {
  [brokerPort, storePort] = await Promise.all([freePort(), freePort()]);
});
afterAll(async () => {
  for (const server of (await servers) ?? []) await server.close();
});

/** Started once, where the processes of every test look for them. Every test leaves them running. */
function startServers() {
  servers ??= Promise.all([startRabbitmq({ port: brokerPort }), startRedis({ port: storePort, appendonly: true })]);
  return servers;
}

function startBoth(ports = [brokerPort, storePort]): Promise<RunningProcess[]> {
  const [broker, store] = ports.map((port) => `127.0.0.1:${port}`);
  const settings = {
    BROKER_URL: `amqp://${broker}`,
    STORE_URL: `redis://${store}`,
    WORKER_SLOTS: '1',
    WORKER_MODELS: 'iris',
  };
  return Promise.all([startProcess('api', settings), startProcess('worker', settings)]);
}

function clientOf([api]: RunningProcess[]): Client {
  return new Client(api?.url ?? '');
}

/** The code with which a submission is refused, and after how long. */
async function refusal(client: Client): Promise<{ code: string | undefined; afterMs: number }> {
  const askedAt = performance.now();
  const { errors } = await client.ask(SUBMIT, { input: { iris: FLOWER } });
  return { code: errors?.[0]?.extensions.code, afterMs: performance.now() - askedAt };
}

test('API and worker that start before RabbitMQ and Redis wait, say so, and serve when these are there', async () => {
  const processes = await startBoth();
  for (const each of processes) {
    await each.unready();
    expect(await each.probe('/healthz')).toBe(200);
    expect(await each.line(/broker not reachable yet/)).toContain('ECONNREFUSED');
    expect(await each.line(/redis not reachable yet/)).toContain('ECONNREFUSED');
  }

  await startServers();
  await Promise.all(processes.map((each) => each.ready()));
  expect(await clientOf(processes).submit({ iris: FLOWER }, WAIT)).toMatchObject({ state: 'SUCCEEDED' });
  expect(await Promise.all(processes.map((each) => each.kill('SIGTERM')))).toEqual([0, 0]);
});

test.each([
  ['RabbitMQ', 0, 'BROKER_UNAVAILABLE'],
  ['Redis', 1, 'STORE_UNAVAILABLE'],
] as const)(
  'the loss of %s is told to clients while it lasts, and mended without a restart',
  async (_, which, code) => {
    const server = (await startServers())[which];
    const processes = await startBoth();
    await Promise.all(processes.map((each) => each.ready()));
    const client = clientOf(processes);
    expect(await client.submit({ iris: FLOWER }, WAIT)).toMatchObject({ state: 'SUCCEEDED' });

    await server.kill();
    const [refused] = await Promise.all([refusal(client), ...processes.map((each) => each.unready())]);
    expect(refused.code).toBe(code);
    expect(refused.afterMs).toBeLessThan(REFUSAL_MS_MAX);
    expect(await Promise.all(processes.map((each) => each.probe('/healthz')))).toEqual([200, 200]);

    await server.start();
    await Promise.all(processes.map((each) => each.ready()));
    expect(await client.submit({ iris: FLOWER }, WAIT)).toMatchObject({ state: 'SUCCEEDED' });
    expect(processes.map((each) => each.isAlive())).toEqual([true, true]);
    expect(await Promise.all(processes.map((each) => each.kill('SIGTERM')))).toEqual([0, 0]);
  },
);

test('API and worker that SIGTERM reaches while they wait for RabbitMQ and Redis exit with 0', async () => {
  const processes = await startBoth(await Promise.all([freePort(), freePort()]));
  await Promise.all(processes.map((each) => each.line(/broker not reachable yet/)));
  expect(await Promise.all(processes.map((each) => each.kill('SIGTERM')))).toEqual([0, 0]);
});
