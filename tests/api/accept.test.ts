import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { FLOWER, IRIS } from '../support/models.ts';
import { type Service, startService } from '../support/service.ts';

const servers = { brokerUrl: 'memory:', storeUrl: 'memory:' };

/** What an `Accept` may be made of, in order and out of order. */
const RANGES = fc.constantFrom(
  ...['*/*', 'application/*', 'application/json', 'application/graphql-response+json', 'text/*', 'text/html'],
  ...['text/event-stream', 'multipart/mixed', 'multipart/mixed;boundary="graphql";subscriptionSpec=1.0', 'x', '', ';'],
);
const PARAMS = fc.constantFrom('', ';q=0', ';q=0.5', ';charset=utf-8', ';charset=latin1', '; Q=1', ';a="b"');

describe('whatever `Accept` says there is an answer', () => {
  test('to every operation: a stream of the type that is said, or JSON with data or with an error that has a code', async () => {
    const service = await startService({ servers, withWorker: false, graphiql: false });
    const operations = ['{ __typename }', 'mutation { __typename }', '{ nothing }', await ended(service), UNKNOWN];
    const accepts = fc.array(
      fc.tuple(RANGES, PARAMS).map((parts) => parts.join('')),
      { minLength: 1, maxLength: 3 },
    );
    const property = fc.asyncProperty(accepts, fc.constantFrom(...operations), async (ranges, query) => {
      const response = await ask(service.client.url, ranges.join(', '), query);
      const text = await response.text();
      const type = response.headers.get('content-type') ?? '';
      if (/^application\/(graphql-response\+)?json/.test(type)) {
        const { data, errors } = JSON.parse(text);
        expect(errors ?? [{ extensions: { code: 'none' } }]).toMatchObject([
          { extensions: { code: expect.any(String) } },
        ]);
        expect(errors === undefined || data == null).toBe(true);
      } else if (type === 'text/event-stream') {
        expect(text).toMatch(/event: next\ndata: \{.*\}\n\nevent: complete\ndata:\n\n$/);
      } else {
        expect(type).toMatch(/^multipart\/mixed; ?boundary=/);
        expect(text).toMatch(/\{"(payload|data|errors)":.*--\r\n$/s);
      }
    });
    await fc.assert(property, { numRuns: 300 });
  });

  const ask = (url: string, accept: string | undefined, query: string) =>
    fetch(url, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...(accept !== undefined && { accept }) },
      body: JSON.stringify({ query }),
    });
  const UNKNOWN = `subscription { taskCompleted(id: "${crypto.randomUUID()}") { id } }`;

  /** A subscription that tells of a task at once, since it has ended. */
  async function ended({ registry, client }: Service): Promise<string> {
    await registry.register([IRIS]);
    const { id } = await client.submit({ iris: FLOWER });
    await client.cancel(id);
    return `subscription { taskCompleted(id: "${id}") { state } }`;
  }

  test.each([
    'application/json',
    'application/graphql-response+json',
    'multipart/mixed',
    'multipart/mixed;deferSpec=20220824,application/json',
    'multipart/mixed;boundary="graphql";subscriptionSpec="2.0"',
    'text/html',
    'image/png, application/*',
    'text/event-stream;q=0, application/json',
    'text/event-stream;charset=iso-8859-1',
  ])('a subscription for %s is refused with a code, and nothing listens', async (accept) => {
    const { client } = await startService({ servers, withWorker: false, graphiql: false });
    const byGet = fetch(`${client.url}?${new URLSearchParams({ query: UNKNOWN })}`, { headers: { accept } });
    for (const response of [await ask(client.url, accept, UNKNOWN), await byGet]) {
      expect(response.status).toBe(406);
      expect(response.headers.get('content-type')).toMatch(/^application\/(graphql-response\+)?json/);
      const { errors } = (await response.json()) as { errors: unknown };
      expect(errors).toMatchObject([
        { message: expect.stringContaining('text/event-stream'), extensions: { code: 'BAD_USER_INPUT' } },
      ]);
    }
  });

  test.each([
    undefined,
    '*/*',
    'text/*',
    'text/event-stream',
    'application/json, text/event-stream',
    'multipart/mixed, text/event-stream;q=0.5',
  ])('a subscription for %s is a stream of server-sent events', async (accept) => {
    const service = await startService({ servers, withWorker: false });
    const response = await ask(service.client.url, accept, await ended(service));
    expect([response.status, response.headers.get('content-type')]).toEqual([200, 'text/event-stream']);
    expect(await response.text()).toMatch(/CANCELLED.*\n\nevent: complete\ndata:\n\n$/);
  });

  test.each([
    'multipart/mixed;boundary="graphql";subscriptionSpec="1.0", application/json',
    'multipart/mixed;boundary=graphql;subscriptionSpec=1.0,application/graphql-response+json,application/json;q=0.9',
    'multipart/mixed; subscriptionSpec="1.0", */*',
    'MULTIPART/MIXED;SUBSCRIPTIONSPEC=1.0',
  ])('a subscription for %s is told by Apollo’s protocol', async (accept) => {
    const service = await startService({ servers, withWorker: false });
    const response = await ask(service.client.url, accept, await ended(service));
    expect([response.status, response.headers.get('content-type')]).toEqual([
      200,
      'multipart/mixed;boundary="graphql";subscriptionSpec="1.0"',
    ]);
    const parts = (await response.text()).split('\r\n--graphql');
    expect(parts.at(-1)).toBe('--\r\n');
    const bodies = parts.slice(1, -1).map((part) => {
      const [header, body = ''] = part.split('\r\n\r\n');
      expect(header).toBe('\r\ncontent-type: application/json');
      return JSON.parse(body);
    });
    expect(bodies).toEqual([{}, { payload: { data: { taskCompleted: { state: 'CANCELLED' } } } }]);
  });

  test.each(['text/html', 'image/png', 'application/xml', 'application/json;charset=latin1', 'nothing', ''])(
    'a query and a mutation for %s are answered in JSON',
    async (accept) => {
      const { client } = await startService({ servers, withWorker: false });
      for (const query of ['{ __typename }', 'mutation { __typename }', '{ nothing }', '{']) {
        const response = await ask(client.url, accept, query);
        expect(response.headers.get('content-type')).toMatch(/^application\/json/);
        expect(Object.keys((await response.json()) as object)).toEqual([query.includes('__') ? 'data' : 'errors']);
      }
    },
  );
});
