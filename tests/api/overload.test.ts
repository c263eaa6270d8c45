import { randomUUID } from 'node:crypto';
import { request } from 'node:http';
import { expect, test } from 'vitest';
import type { Task } from '../../src/task.ts';
import { type Service, startService } from '../support/service.ts';

const servers = { brokerUrl: 'memory:', storeUrl: 'memory:' };
const ORIGIN = 'http://page.example';
const MIB = 2 ** 20;

const start = () => startService({ servers, withWorker: false, corsOrigins: [ORIGIN] });

const ask = (service: Service, headers = {}) =>
  fetch(service.client.url, {
    method: 'POST',
    headers: { 'content-type': 'application/json', origin: ORIGIN, ...headers },
    body: '{"query":"{ __typename }"}',
  });

/** A request that has sent a part of its body; resolves once the server has it. */
function slowRequest({ client }: Service, contentLength: number): Promise<{ abort: () => void }> {
  return new Promise((resolve) => {
    const headers = { 'content-type': 'application/json', 'content-length': contentLength, expect: '100-continue' };
    const slow = request(client.url, { method: 'POST', headers, agent: false }).on('error', () => undefined);
    slow.on('continue', () => {
      slow.write('{');
      resolve({ abort: () => slow.destroy() });
    });
    slow.flushHeaders();
  });
}

test('more bodies than there is memory for are refused, health is not, and there is room again when they are gone', async () => {
  const service = await start();
  const slow = [];
  for (let i = 0; i < 4; i++) slow.push(await slowRequest(service, 64 * MIB));
  const refused = await ask(service);
  expect(refused.status).toBe(503);
  expect(refused.headers.get('retry-after')).toBe('1');
  expect(await refused.json()).toMatchObject({ errors: [{ extensions: { code: 'RATE_LIMITED' } }] });
  // A page that may call the API may also read why it was refused.
  expect(refused.headers.get('access-control-allow-origin')).toBe(ORIGIN);
  expect((await fetch(`${service.api.url}/healthz`)).status).toBe(200);
  expect((await fetch(`${service.api.url}/readyz`)).status).toBe(503);
  for (const { abort } of slow) abort();
  await expect.poll(async () => (await ask(service)).status, { interval: 10, timeout: 5_000 }).toBe(200);
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
