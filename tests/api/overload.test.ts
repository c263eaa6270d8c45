import { randomUUID } from 'node:crypto';
import { request } from 'node:http';
import { expect, test } from 'vitest';
import type { Task } from '../../src/task/task.ts';
import { type Service, startService } from '../support/service.ts';

const servers = { brokerUrl: 'memory:', storeUrl: 'memory:' };
const ORIGIN = 'http://page.example';
const MIB = 2 ** 20;

const start = (options = {}) => startService({ servers, withWorker: false, corsOrigins: [ORIGIN], ...options });

const ask = (service: Service, headers = {}) =>
  fetch(service.client.url, {
    method: 'POST',
    headers: { 'content-type': 'application/json', origin: ORIGIN, ...headers },
    body: '{"query":"{ __typename }"}',
  });

/** A request of which so many bytes have been sent, and no more come; its answer, once there is one. */
async function partOf(service: Service, bytes: number, headers: Record<string, string | number>) {
  const sent = request(service.client.url, { method: 'POST', headers, agent: false });
  const answer = new Promise<{ status: number | undefined; text: string; retryAfter: string | undefined }>(
    (resolve) => {
      sent.on('error', (error) => resolve({ status: undefined, text: error.message, retryAfter: undefined }));
      sent.on('response', async (response) => {
        let text = '';
        for await (const chunk of response) text += String(chunk);
        resolve({ status: response.statusCode, text, retryAfter: response.headers['retry-after'] });
      });
    },
  );
  await new Promise<void>((resolve) => {
    sent.write(Buffer.alloc(bytes, ' '), () => resolve());
  });
  return { answer, sent };
}

const JSON_HEADERS = { 'content-type': 'application/json', origin: ORIGIN };
const BOUNDS = { memoryBytes: 20 * MIB };

test('a body counts by what came of it, not by what its header says', async () => {
  const service = await start({ bounds: BOUNDS });
  const parts = [];
  for (let i = 0; i < 8; i++) parts.push(await partOf(service, 1, { ...JSON_HEADERS, 'content-length': 64 * MIB }));
  await expect.poll(() => service.ledger.requests.used, { interval: 5 }).toBe(8);
  expect((await ask(service)).status).toBe(200);
  for (const { sent } of parts) sent.destroy();
  await expect.poll(() => service.ledger.memoryBytes.used, { interval: 5 }).toBe(0);
});

test.each([
  ['of known length', { ...JSON_HEADERS, 'content-length': 30 * MIB }],
  ['of unknown length', { ...JSON_HEADERS, 'transfer-encoding': 'chunked' }],
  [
    'of a form',
    {
      'content-type': 'multipart/form-data; boundary=x',
      'graphql-require-preflight': '1',
      'content-length': 30 * MIB,
      origin: ORIGIN,
    },
  ],
])('a body %s that takes more than there is room for is refused while it comes', async (_what, headers) => {
  const service = await start({ bounds: BOUNDS });
  const { answer, sent } = await partOf(service, 25 * MIB, headers);
  expect(service.ledger.memoryBytes.used).toBeLessThanOrEqual(18 * MIB);
  sent.end(Buffer.alloc(5 * MIB, ' '));
  const { status, text, retryAfter } = await answer;
  expect([status, retryAfter]).toEqual([503, '1']);
  expect(JSON.parse(text)).toMatchObject({
    errors: [
      { message: expect.stringContaining('you hold'), extensions: { code: 'RATE_LIMITED', retryAfterMs: 1_000 } },
    ],
  });
  await expect.poll(() => service.ledger.memoryBytes.used, { interval: 5 }).toBe(0);
  expect((await ask(service)).status).toBe(200);
});

test('requests over the owner’s share are refused, another owner’s and health are not', async () => {
  const keys = 'ann:ann-6ec1c29f0a4b4b3a8d51e07c, bob:bob-d2b7a1f09c3e4f6a9b12c37e';
  const service = await start({ bounds: { requests: 20 }, keys });
  const keyed = (key: string) => ({ ...JSON_HEADERS, authorization: `Bearer ${key}` });
  const ann = keyed('ann-6ec1c29f0a4b4b3a8d51e07c');
  const parts = [];
  for (let i = 0; i < 18; i++) parts.push(await partOf(service, 1, { ...ann, 'content-length': 100 }));
  await expect.poll(() => service.ledger.requests.used, { interval: 5 }).toBe(18);
  const refused = await ask(service, ann);
  expect([refused.status, refused.headers.get('retry-after')]).toEqual([503, '1']);
  expect(await refused.json()).toMatchObject({ errors: [{ extensions: { code: 'RATE_LIMITED' } }] });
  // A page that may call the API may also read why it was refused.
  expect(refused.headers.get('access-control-allow-origin')).toBe(ORIGIN);
  expect((await ask(service, keyed('bob-d2b7a1f09c3e4f6a9b12c37e'))).status).toBe(200);
  expect((await fetch(`${service.api.url}/healthz`)).status).toBe(200);
  for (const { sent } of parts) sent.destroy();
  await expect.poll(async () => (await ask(service, ann)).status, { interval: 10, timeout: 5_000 }).toBe(200);
});

test('every bound is in the metrics from the start', async () => {
  const service = await start({ bounds: { streams: 50 } });
  const text = await (await fetch(`${service.api.url}/metrics`)).text();
  expect(text).toContain('foretell_bound_limit{bound="streams"} 50');
  expect(text).toContain('foretell_bound_used{bound="connections"} 1');
  for (const bound of ['connections', 'requests', 'streams', 'listeners', 'memoryBytes']) {
    expect(text).toContain(`foretell_bound_refusals_total{bound="${bound}"} 0`);
  }
});

test('a refusal tells no origin that is not listed', async () => {
  const service = await startService({
    servers,
    withWorker: false,
    corsOrigins: [ORIGIN],
    keys: 'ann:0123456789012345678901234',
  });
  const listed = await ask(service);
  expect([listed.status, listed.headers.get('access-control-allow-origin')]).toEqual([401, ORIGIN]);
  const other = await ask(service, { origin: 'http://other.example' });
  expect([other.status, other.headers.get('access-control-allow-origin')]).toEqual([401, null]);
});

test('results that are too large for one answer are refused with their path; fewer at a time are not', async () => {
  const service = await start();
  const ids = await Promise.all(Array.from({ length: 5 }, () => finished(service, 15 * MIB)));
  const query = 'query ($ids: [ID!]!) { results(ids: $ids) { id } }';
  const issues = [{ path: ['ids'], message: expect.stringContaining('fewer') }];
  expect((await service.client.ask(query, { ids })).errors).toMatchObject([
    { extensions: { code: 'INVALID_INPUT', issues } },
  ]);
  expect((await service.client.ask(query, { ids: ids.slice(1) })).errors).toBeUndefined();
  // Nor by asking for them one by one in one operation.
  const aliases = ids.map((id, i) => `r${i}: result(id: "${id}") { id }`).join(' ');
  const { errors } = await service.client.ask(`{ ${aliases} }`);
  expect(errors?.[0]?.extensions).toMatchObject({ code: 'INVALID_INPUT', issues: [{ path: ['id'] }] });
  // A single one is always read, and the streams, which hold a few at a time, tell them all.
  const large = await finished(service, 64 * MIB + 1);
  expect((await service.client.ask(`{ result(id: "${large}") { id } }`)).data).toEqual({ result: { id: large } });
  const stream = service.client.collect(
    'tasksCompleted',
    'subscription ($ids: [ID!]!) { tasksCompleted(ids: $ids) { id } }',
    {
      ids,
    },
  );
  expect(await stream).toHaveLength(5);
});

/** A task that succeeded with so many bytes of outputs. */
async function finished({ store }: Service, bytes: number): Promise<string> {
  const model = { name: 'm', version: '1', fingerprint: 'f' };
  const submission: Pick<Task, 'id' | 'owner' | 'model' | 'door' | 'submittedAt'> = {
    id: randomUUID(),
    owner: 'anonymous',
    model,
    door: 'tensors',
    submittedAt: Date.now(),
  };
  const outputs = [{ name: 'y', datatype: 'UINT8' as const, shape: [bytes], data: new Uint8Array(bytes) }];
  const result = { outputs, runMs: 1, batchSize: 1 };
  await store.transition(submission.id, { to: 'SUCCEEDED', at: Date.now(), submission, result });
  return submission.id;
}
