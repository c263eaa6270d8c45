import { randomUUID } from 'node:crypto';
import { request } from 'node:http';
import { serverAudits } from 'graphql-http';
import { describe, expect, test } from 'vitest';
import { openHttpServer } from '../../src/api/http/http-server.ts';
import { FLOWER, IRIS } from '../support/models.ts';
import { openService, type Service, startService } from '../support/service.ts';

const servers = { brokerUrl: 'memory:', storeUrl: 'memory:' };
const start = (options = {}) => startService({ servers, withWorker: false, ...options });
const TYPENAME = JSON.stringify({ query: '{ __typename }' });

function post(url: string, body: string, headers: Record<string, string> = {}): Promise<Response> {
  return fetch(url, { method: 'POST', headers: { 'content-type': 'application/json', ...headers }, body });
}

async function codeOf(response: Response): Promise<unknown> {
  const { errors } = (await response.json()) as { errors?: { extensions: { code: string } }[] };
  return errors?.[0]?.extensions.code;
}

/** What a request that gives itself this Host is answered with. */
function statusFor({ api }: Service, host: string): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    const headers = { host: host.replace('PORT', new URL(api.url).port), 'content-type': 'application/json' };
    request(`${api.url}/graphql`, { method: 'POST', headers }, (response) => {
      response.resume();
      resolve(response.statusCode);
    })
      .on('error', reject)
      .end(TYPENAME);
  });
}

const audited = await openService({ servers, withWorker: false });
describe('GraphQL over HTTP, as graphql-http audits it', () => {
  const audits = serverAudits({ url: audited.client.url });
  test('is audited in full', () => expect(audits.length).toBeGreaterThanOrEqual(61));
  test.each(audits.map((audit) => [audit.name, audit] as const))('%s', async (_name, audit) => {
    expect(await audit.fn()).toMatchObject({ status: 'ok' });
  });
  test('and is closed afterwards', () => audited.close());
});

describe('what other people’s pages may do', () => {
  test('a mutation needs POST and JSON', async () => {
    const { client, api } = await start();
    const mutation = 'mutation { cancelTask(id: "x") { id } }';
    const byGet = await fetch(`${client.url}?${new URLSearchParams({ query: mutation })}`);
    expect(byGet.status).toBe(405);
    for (const type of [
      'text/plain',
      'application/x-www-form-urlencoded',
      'multipart/form-data; boundary=x',
      'application/graphql',
    ]) {
      const response = await post(client.url, TYPENAME, { 'content-type': type });
      expect([response.status, await codeOf(response)]).toEqual([415, 'BAD_USER_INPUT']);
    }
    expect((await fetch(`${api.url}/elsewhere`)).status).toBe(404);
  });

  test('a name that is not this machine’s is refused where no key guards, and what is no name everywhere', async () => {
    expect(await statusFor(await start(), 'rebound.example:PORT')).toBe(403);
    for (const host of ['localhost:PORT', '127.0.0.1:PORT', '[::1]:PORT', 'localhost']) {
      expect(await statusFor(await start(), host)).toBe(200);
    }
    const open = await start({ allowUnauthenticated: true });
    expect(await statusFor(open, 'api.example')).toBe(200);
    const guarded = await start({ keys: 'ann:0123456789012345678901234' });
    for (const service of [open, guarded]) expect(await statusFor(service, '[')).toBe(400);
  });
});

describe('what one request may ask', () => {
  test('a body over the limit is refused, with and without its length', async () => {
    const { client } = await start({ bodyLimitBytes: 10_000 });
    const large = JSON.stringify({ query: '{ __typename }', variables: { x: 'x'.repeat(20_000) } });
    const declared = await post(client.url, large);
    expect([declared.status, await codeOf(declared)]).toEqual([413, 'BAD_USER_INPUT']);
    const status = await new Promise((resolve, reject) => {
      const chunked = request(
        client.url,
        { method: 'POST', headers: { 'content-type': 'application/json' } },
        (response) => {
          response.resume();
          resolve(response.statusCode);
        },
      );
      chunked.on('error', reject);
      chunked.write(large.slice(0, 9_000));
      chunked.end(large.slice(9_000));
    });
    expect(status).toBe(413);
  });

  test.each([
    ['tokens', `{ ${'__typename '.repeat(2_001)} }`, 'GRAPHQL_PARSE_FAILED'],
    [
      'aliases',
      `{ ${Array.from({ length: 31 }, (_, i) => `a${i}: __typename`).join(' ')} }`,
      'GRAPHQL_VALIDATION_FAILED',
    ],
    ['directives', `{ __typename ${'@include(if: true) '.repeat(51)} }`, 'GRAPHQL_VALIDATION_FAILED'],
    [
      'levels',
      `{ __schema { types ${'{ fields { type '.repeat(10)} { name } ${'} }'.repeat(10)} } }`,
      'GRAPHQL_VALIDATION_FAILED',
    ],
    [
      'levels in fragments',
      `{ __schema { types { ...f0 } } } ${Array.from({ length: 12 }, (_, i) => `fragment f${i} on __Type { fields { type { ...f${i + 1} } } }`).join(' ')} fragment f12 on __Type { name }`,
      'GRAPHQL_VALIDATION_FAILED',
    ],
  ])('too many %s are refused before anything is executed', async (what, query, code) => {
    const { client } = await start();
    const { data, errors } = await client.ask(query);
    expect(data ?? null).toBeNull();
    expect(errors?.map(({ extensions }) => extensions.code)).toContain(code);
    expect(errors?.map(({ message }) => message).join()).toMatch(new RegExp(what.split(' ')[0] ?? what, 'i'));
  });

  test('a document is short: data belongs in variables', async () => {
    const { client } = await start();
    const { errors } = await client.ask(`{ __typename } # ${'x'.repeat(40_000)}`);
    expect(errors).toMatchObject([
      { extensions: { code: 'GRAPHQL_PARSE_FAILED' }, message: expect.stringContaining('variables') },
    ]);
  });

  test('aliases do not multiply what one operation may name', async () => {
    const { client } = await start();
    const ids = Array.from({ length: 400 }, (_, i) => `${i}`);
    const query =
      'query ($ids: [ID!]!) { a: results(ids: $ids) { id } b: results(ids: $ids) { id } c: results(ids: $ids) { id } }';
    expect((await client.ask(query, { ids })).errors?.[0]?.extensions.code).toBe('INVALID_INPUT');
    expect((await client.ask(query, { ids: ids.slice(0, 333) })).errors).toBeUndefined();
  });

  test('an address has room for a thousand ids, and its variables are JSON', async () => {
    const { client } = await start();
    const query = 'query ($ids: [ID!]!) { results(ids: $ids) { id } }';
    const ids = Array.from({ length: 1_000 }, () => crypto.randomUUID());
    const get = (variables: string) => fetch(`${client.url}?${new URLSearchParams({ query, variables })}`);
    const full = (await (await get(JSON.stringify({ ids }))).json()) as { data: { results: null[] } };
    expect(full.data.results).toHaveLength(1_000);
    const broken = await get('{"ids":');
    expect([broken.status, await codeOf(broken)]).toEqual([400, 'BAD_USER_INPUT']);
  });

  test('introspection and GraphiQL are off where they are switched off, and nothing guesses names for the asker', async () => {
    const { client } = await start({ introspection: false, graphiql: false });
    expect((await client.ask('{ __schema { types { name } } }')).errors?.[0]?.extensions.code).toBe(
      'GRAPHQL_VALIDATION_FAILED',
    );
    expect((await client.ask('{ modelz { name } }')).errors?.[0]?.message).not.toMatch(/did you mean/i);
    const page = await fetch(client.url, { headers: { accept: 'text/html' } });
    expect(await page.text()).not.toMatch(/graphiql/i);
  });
});

describe('what is ours stays ours', () => {
  test('an error of our own is masked', async () => {
    const { client, registry, store } = await start();
    await registry.register([IRIS]);
    Object.assign(store, { get: () => Promise.reject(new Error('secret detail')) });
    const { errors } = await client.ask(`{ result(id: "${randomUUID()}") { id } }`);
    expect(errors).toMatchObject([{ message: 'Unexpected error.', extensions: { code: 'INTERNAL_SERVER_ERROR' } }]);
    expect(JSON.stringify(errors)).not.toMatch(/secret/);
  });

  test('health needs no key, and says what lacks', async () => {
    const { api, registry } = await start({ keys: 'ann:0123456789012345678901234', key: 'none' });
    expect(await (await fetch(`${api.url}/healthz`)).json()).toEqual({ status: 'ok' });
    const before = await fetch(`${api.url}/readyz`);
    expect([before.status, await before.json()]).toEqual([
      503,
      { status: 'not ready', broker: true, store: true, models: 0 },
    ]);
    await registry.register([IRIS]);
    expect((await fetch(`${api.url}/readyz`)).status).toBe(200);
  });

  test.each(['text/event-stream', 'multipart/mixed;subscriptionSpec=1.0'])(
    'a server that closes cuts its streams of %s without an end, so that clients come back',
    async (accept) => {
      const service = await start();
      await service.registry.register([IRIS]);
      const { id } = await service.client.submit({ iris: FLOWER });
      const query = `subscription { taskCompleted(id: "${id}") { id } }`;
      const stream = await post(service.client.url, JSON.stringify({ query }), { accept });
      const text = stream.text();
      await service.api.close();
      await expect(text).rejects.toThrow();
      expect(service.store.watching()).toBe(0);
    },
  );

  test('a server that closes answers whoever waits for a prediction with the task as it is', async () => {
    const service = await start();
    await service.registry.register([IRIS]);
    const answer = service.client.submit({ iris: FLOWER }, { waitMs: 30_000 });
    await expect.poll(() => service.store.watching(), { interval: 5, timeout: 10_000 }).toBe(1);
    await service.api.close();
    expect(await answer).toMatchObject({ state: 'QUEUED', id: expect.any(String) });
  });

  test('a port that is taken is said', async () => {
    const { api } = await start();
    const port = Number(new URL(api.url).port);
    await expect(openHttpServer({ host: '127.0.0.1', port, routes: [] })).rejects.toThrow(
      `port ${port} of 127.0.0.1 is in use`,
    );
  });
});
