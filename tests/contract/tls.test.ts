import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Certificates, makeCertificates } from '../support/certificates.ts';
import { Client } from '../support/client.ts';
import { type Settings, startProcess } from '../support/processes.ts';
import { type Rabbitmq, startRabbitmq } from '../support/rabbitmq.ts';
import { type RedisServer, startRedis } from '../support/redis.ts';

/** RabbitMQ and Redis behind TLS, whose certificate is signed by an authority of one's own. */
let certificates: Certificates;
let rabbitmq: Rabbitmq;
let redis: RedisServer;
let settings: Settings;
beforeAll(async () => {
  certificates = await makeCertificates();
  [rabbitmq, redis] = await Promise.all([startRabbitmq({ tls: certificates }), startRedis({ tls: certificates })]);
  const urls = { BROKER_URL: rabbitmq.tlsUrl ?? '', STORE_URL: redis.tlsUrl ?? '' };
  expect(urls).toEqual({ BROKER_URL: expect.stringMatching(/^amqps:/), STORE_URL: expect.stringMatching(/^rediss:/) });
  settings = { ...urls, WORKER_SLOTS: '1' };
});
afterAll(() => Promise.all([rabbitmq?.close(), redis?.close(), certificates?.remove()]));

test('API and worker meet through amqps:// and rediss://, and trust the authority of NODE_EXTRA_CA_CERTS', async () => {
  const trusting = { ...settings, NODE_EXTRA_CA_CERTS: certificates.ca };
  const [api, worker] = await Promise.all([startProcess('api', trusting), startProcess('worker', trusting)]);
  await Promise.all([api.ready(), worker.ready()]);
  const iris = { sepalLengthCm: 5.1, sepalWidthCm: 3.5, petalLengthCm: 1.4, petalWidthCm: 0.2 };
  const answer = await new Client(api.url).ask(
    `mutation ($input: PredictionInput!) {
      submitPrediction(input: $input, options: { waitMs: 10000 }) { state prediction { ... on IrisPrediction { label } } }
    }`,
    { input: { iris } },
  );
  expect(answer).toEqual({ data: { submitPrediction: { state: 'SUCCEEDED', prediction: { label: 'setosa' } } } });
});

test('a process that does not know the authority connects to neither, and says why', async () => {
  const worker = await startProcess('worker', settings);
  const lines = await Promise.all([worker.line(/broker not reachable yet/), worker.line(/redis not reachable yet/)]);
  for (const line of lines) expect(line).toMatch(/certificate/);
  expect(await worker.probe('/readyz')).toBe(503);
});
