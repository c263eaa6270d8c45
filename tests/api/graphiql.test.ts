import { request } from 'node:http';
import { brotliDecompressSync, gunzipSync } from 'node:zlib';
import { expect, test } from 'vitest';
import { IRIS } from '../support/models.ts';
import { type Service, type ServiceOptions, startService } from '../support/service.ts';

const start = (options: Partial<ServiceOptions> = {}) =>
  startService({ servers: { brokerUrl: 'memory:', storeUrl: 'memory:' }, withWorker: false, ...options });

/** As it comes over the wire; `fetch` would unpack it. */
function get({ api }: Service, path: string, headers: Record<string, string> = {}, method = 'GET') {
  return new Promise<{ status: number | undefined; headers: Record<string, unknown>; body: Buffer }>(
    (resolve, reject) => {
      request(api.url + path, { method, headers: { accept: 'text/html', ...headers } }, (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        const answer = () => ({ status: response.statusCode, headers: response.headers, body: Buffer.concat(chunks) });
        response.on('end', () => resolve(answer()));
      })
        .on('error', reject)
        .end();
    },
  );
}

const FILES = ['/graphql', '/graphql/graphiql.js', '/graphql/graphiql.css'];

test('GraphiQL is compressed as the browser likes it, and sent again only when it has changed', async () => {
  const service = await start();
  await service.registry.register([IRIS]);
  let bytes = 0;
  for (const path of FILES) {
    const plain = await get(service, path);
    expect(plain).toMatchObject({ status: 200, headers: { vary: 'Accept-Encoding', 'cache-control': 'no-cache' } });
    expect(plain.headers).not.toHaveProperty('content-encoding');
    const [gzip, br] = [
      await get(service, path, { 'accept-encoding': 'gzip, deflate' }),
      await get(service, path, { 'accept-encoding': 'gzip, deflate, BR' }),
    ];
    expect([gzip, br].map(({ headers }) => headers['content-encoding'])).toEqual(['gzip', 'br']);
    expect(gunzipSync(gzip.body).equals(plain.body)).toBe(true);
    expect(brotliDecompressSync(br.body).equals(plain.body)).toBe(true);
    bytes += br.body.length;
    const tags = [plain, gzip, br].map(({ headers }) => String(headers['etag']));
    expect(new Set(tags).size).toBe(3);
    for (const known of [tags[2], `W/${tags[2]}`, `"other", ${tags[2]}`, '*']) {
      const again = await get(service, path, { 'accept-encoding': 'br', 'if-none-match': String(known) });
      expect([again.status, again.body.length, again.headers['etag']]).toEqual([304, 0, tags[2]]);
    }
    const refused = { 'accept-encoding': 'br;q=0, gzip;q=0.0, *;q=0', 'if-none-match': String(tags[2]) };
    expect((await get(service, path, refused)).body.equals(plain.body)).toBe(true);
    const head = await get(service, path, { 'accept-encoding': 'br' }, 'HEAD');
    expect([head.status, head.body.length, head.headers['content-length']]).toEqual([200, 0, String(br.body.length)]);
  }
  expect(bytes).toBeLessThan(2_500_000);
  // Other models, other tabs.
  const before = (await get(service, '/graphql')).headers['etag'];
  await service.registry.register([{ ...IRIS, name: 'other' }]);
  expect((await get(service, '/graphql')).headers['etag']).not.toBe(before);
});

test('GraphiQL has a policy that lets in no script of a page, and no frame', async () => {
  const service = await start();
  // Whatever a model says is data.
  const example = {
    sepalLengthCm: 1,
    sepalWidthCm: 1,
    petalLengthCm: 1,
    petalWidthCm: 1,
    more: '</script><script>alert(1)</script>',
  };
  await service.registry.register([{ ...IRIS, example }]);
  const page = await get(service, '/graphql');
  const policy = String(page.headers['content-security-policy']);
  expect(policy).toMatch(/default-src 'none'; script-src 'self';/);
  expect(policy).toMatch(/frame-ancestors 'none'/);
  expect(page.headers).toMatchObject({ 'x-content-type-options': 'nosniff', 'referrer-policy': 'no-referrer' });
  const html = page.body.toString();
  expect(html).not.toContain('<script>');
  expect(html.match(/<script/g)).toHaveLength(2);
  expect(html).toContain('\\u003c/script>');
});

test('GraphiQL needs no key, and is nowhere where it is off', async () => {
  const keys = 'ann:0123456789012345678901234';
  const guarded = await start({ keys, graphiql: true });
  for (const path of FILES) expect((await get(guarded, path)).status).toBe(200);
  for (const accept of ['text/html', '*/*']) {
    expect((await get(guarded, '/graphql?query=%7B__typename%7D', { accept })).status).toBe(401);
  }
  expect((await get(guarded, '/graphql/graphiql.map')).status).toBe(404);
  const off = await start({ graphiql: false });
  const answers = await Promise.all(FILES.map((path) => get(off, path)));
  expect(answers.map(({ headers }) => headers['content-type'])).toEqual(
    Array(3).fill('application/json; charset=utf-8'),
  );
  expect(answers.slice(1).map(({ status }) => status)).toEqual([404, 404]);
});
