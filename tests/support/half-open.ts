import { randomUUID } from 'node:crypto';
import { expect, onTestFinished, type TestContext } from 'vitest';
import { ANONYMOUS } from '../../src/process/api-keys.ts';
import { type FaultCase, startCase } from './fault-case.ts';
import type { PrivateServers } from './fleet.ts';
import { modelsDir } from './models-dir.ts';
import { startProxy } from './proxy.ts';
import { submitAnyway } from './refusal.ts';
import { KNOWN_MODELS, slowSample } from './samples.ts';
import { type Service, startService } from './service.ts';

/** Before the silence, and as many after it. */
const TASKS = 200;
const SUBMITTERS = 5;
const REFUSAL_MS_MAX = 6_000;
const WAITING = { stay: 12, go: 8 };

/** All of Foretell, whose ways to RabbitMQ and Redis can be silenced. */
async function startBehindProxies({ rabbitmq, redis }: PrivateServers, brokerQuery: string) {
  const [broker, store] = await Promise.all([startProxy(Number(new URL(rabbitmq.url).port)), startProxy(redis.port)]);
  onTestFinished(async () => void (await Promise.all([broker.close(), store.close()])));
  const service = await startService({
    servers: {
      brokerUrl: `amqp://127.0.0.1:${broker.port}${brokerQuery}`,
      storeUrl: `redis://127.0.0.1:${store.port}`,
    },
    modelsDir: await modelsDir(KNOWN_MODELS),
    workerSlots: 1,
  });
  await readiness(service, 200);
  return { service, broker, store };
}

function readiness({ api }: Service, status: number) {
  const probe = async () => (await fetch(`${api.url}/readyz`)).status;
  return expect.poll(probe, { timeout: 60_000, interval: 50 }).toBe(status);
}

/** Some who wait for a task that nobody will run, until they are told to go. */
async function startWaiting({ store, client }: Service, count: number): Promise<() => void> {
  const model = { name: 'slow', version: '1', fingerprint: 'f00d' };
  const id = randomUUID();
  await store.create([{ id, owner: ANONYMOUS, model, door: 'tensors', submittedAt: Date.now() }]);
  const leaving = new AbortController();
  const begun = Array.from({ length: count }, async () => {
    const { promise, resolve: connected } = Promise.withResolvers<void>();
    const query = 'subscription ($id: ID!) { taskCompleted(id: $id) { id } }';
    const stream = client.stream('taskCompleted', query, { id }, { signal: leaving.signal, connected });
    stream.next().catch(() => undefined);
    await promise;
  });
  await Promise.all(begun);
  return () => leaving.abort();
}

/** Submits without a pause until `/readyz` says that something is missing, and then once more; every answer. */
async function submitUntilNoticed(it: FaultCase, service: Service) {
  let noticed = false;
  const submitOn = async () => {
    const answers = [];
    for (let isLast = false; !isLast; ) {
      isLast = noticed;
      answers.push(await submitAnyway(it, service.client, slowSample(it.random.integer(1, 10_000))));
    }
    return answers;
  };
  const submitting = Array.from({ length: SUBMITTERS }, submitOn);
  await readiness(service, 503);
  noticed = true;
  return (await Promise.all(submitting)).flat();
}

export interface Silence {
  of: 'RabbitMQ' | 'Redis';
  /** What is added to RabbitMQ's address, `?heartbeat=<seconds>` for one. */
  brokerQuery?: string;
}

/** Connections become half-open under load; what is expected of the service then, and afterwards. */
export async function surviveSilence(context: TestContext, servers: PrivateServers, silence: Silence): Promise<void> {
  const { of: silenced, brokerQuery = '' } = silence;
  const it = startCase(context, `6 half-open connections to ${silenced}${brokerQuery}`);
  const { service, broker, store } = await startBehindProxies(servers, brokerQuery);
  const proxy = silenced === 'RabbitMQ' ? broker : store;
  const submitSome = async () => {
    const samples = Array.from({ length: TASKS }, () => slowSample(it.random.integer(10_000, 40_000)));
    const ids = await it.submitAll(service.client, samples);
    it.subscribe(ids, () => service.client);
    for (const id of it.random.some(20, ids)) it.subscribe([id], () => service.client);
  };
  await submitSome();
  await startWaiting(service, WAITING.stay);
  const leave = await startWaiting(service, WAITING.go);
  await it.told(20);

  proxy.silence();
  const answers = await submitUntilNoticed(it, service);
  const code = silenced === 'RabbitMQ' ? 'BROKER_UNAVAILABLE' : 'STORE_UNAVAILABLE';
  expect(new Set(answers.map(({ refusal }) => refusal?.code))).toEqual(new Set([code]));
  expect(Math.max(...answers.map(({ afterMs }) => afterMs))).toBeLessThan(REFUSAL_MS_MAX);
  expect((await fetch(`${service.api.url}/healthz`)).status).toBe(200);
  leave();

  proxy.restore();
  await readiness(service, 200);
  await submitSome();
  await it.verify(service.client, { withinMs: 60_000 });
  // Those who stayed are all who are still waited for.
  await expect.poll(service.store.watching).toBe(WAITING.stay);
}
