import { describe, expect, test } from 'vitest';
import { FLOWER, IRIS } from '../support/models.ts';
import { type Service, type ServiceOptions, startService } from '../support/service.ts';

const LISTED = ['https://one.example', 'https://two.example'] as const;
const UNLISTED = ['https://other.example', 'null', 'https://one.example.other.example', 'HTTPS://ONE.EXAMPLE', ''];

const start = (options: Partial<ServiceOptions> = {}) =>
  startService({ servers: { brokerUrl: 'memory:', storeUrl: 'memory:' }, withWorker: false, ...options });

/** Every way in which the API answers, and the status that each has. */
const ANSWERS: [string, number, (service: Service) => { path?: string; init?: RequestInit }][] = [
  ['an operation', 200, () => post({ query: '{ __typename }' })],
  ['an operation by GET', 200, () => ({ path: `/graphql?${new URLSearchParams({ query: '{ __typename }' })}` })],
  ['an operation that does not validate', 200, () => post({ query: '{ nothing }' })],
  ['a body that is no JSON', 400, () => post('{')],
  [
    'a body of a form',
    415,
    () => ({ init: { method: 'POST', body: new URLSearchParams({ query: '{ __typename }' }) } }),
  ],
  ['a stream', 200, () => post({ query: 'subscription { taskCompleted(id: "x") { id } }' }, 'text/event-stream')],
  [
    'a refused stream',
    406,
    () => post({ query: 'subscription { taskCompleted(id: "x") { id } }' }, 'application/json'),
  ],
  ['a method that is none', 405, () => ({ init: { method: 'PUT' } })],
  ['a preflight', 204, () => ({ init: { method: 'OPTIONS', headers: PREFLIGHT } })],
  ['an address that is none', 404, () => ({ path: '/elsewhere' })],
];
const PREFLIGHT = { 'access-control-request-method': 'POST', 'access-control-request-headers': 'content-type,x-mine' };

function post(body: object | string, accept = '*/*') {
  const headers = { 'content-type': 'application/json', accept };
  return { init: { method: 'POST', headers, body: typeof body === 'string' ? body : JSON.stringify(body) } };
}

async function ask({ api }: Service, origin: string | undefined, { path = '/graphql', init = {} }) {
  const headers = new Headers((init as RequestInit).headers);
  if (origin !== undefined) headers.set('origin', origin);
  const response = await fetch(api.url + path, { ...init, headers });
  await response.arrayBuffer();
  const cors = [...response.headers].filter(([name]) => name.startsWith('access-control-'));
  return { status: response.status, cors: Object.fromEntries(cors), vary: response.headers.get('vary') };
}

describe('pages of other origins', () => {
  test.each(ANSWERS)('%s is for pages of listed origins alone', async (_what, status, request) => {
    const service = await start({ corsOrigins: [...LISTED] });
    for (const origin of LISTED) {
      const answer = await ask(service, origin, request(service));
      expect(answer).toMatchObject({ status, cors: { 'access-control-allow-origin': origin } });
      expect(answer.cors).not.toHaveProperty('access-control-allow-credentials');
      expect(answer.vary).toMatch(/\bOrigin\b/);
    }
    for (const origin of [...UNLISTED, undefined]) {
      const answer = await ask(service, origin, request(service));
      expect([origin, answer.status, answer.cors]).toEqual([origin, status, {}]);
      expect(answer.vary).toMatch(/\bOrigin\b/);
    }
  });

  test('are told of nothing where no origin is listed, and the answer does not vary', async () => {
    const service = await start();
    for (const [, , request] of ANSWERS) {
      const answer = await ask(service, LISTED[0], request(service));
      expect(answer.cors).toEqual({});
      expect(answer.vary ?? '').not.toMatch(/origin/i);
    }
  });

  test('a preflight needs no key, and tells a listed page what it may send', async () => {
    const service = await start({ corsOrigins: [LISTED[0]], keys: 'ann:0123456789012345678901234' });
    const preflight = { init: { method: 'OPTIONS', headers: PREFLIGHT } };
    expect(await ask(service, LISTED[0], preflight)).toMatchObject({
      status: 204,
      cors: { 'access-control-allow-methods': 'GET, POST', 'access-control-allow-headers': 'content-type,x-mine' },
    });
    expect(await ask(service, LISTED[1], preflight)).toMatchObject({ status: 204, cors: {} });
    // What the page then sends without a key is refused, and the page may read why.
    const refused = { status: 401, cors: { 'access-control-allow-origin': LISTED[0] } };
    expect(await ask(service, LISTED[0], post({ query: '{ __typename }' }))).toMatchObject(refused);
    expect(await ask(service, LISTED[1], post({ query: '{ __typename }' }))).toMatchObject({ status: 401, cors: {} });
  });

  test('health and metrics are for no page', async () => {
    const service = await start({ corsOrigins: [LISTED[0]] });
    await service.registry.register([IRIS]);
    await service.client.submit({ iris: FLOWER });
    for (const path of ['/healthz', '/readyz', '/metrics']) {
      expect(await ask(service, LISTED[0], { path })).toMatchObject({ status: 200, cors: {} });
    }
  });
});
