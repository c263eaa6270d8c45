import { createHash } from 'node:crypto';
import { ApolloClient, gql, HttpLink, InMemoryCache } from '@apollo/client';
import { PersistedQueryLink } from '@apollo/client/link/persisted-queries';
import { lastValueFrom, toArray } from 'rxjs';
import { describe, expect, test } from 'vitest';
import { describeService } from '../support/describe-service.ts';
import { FLOWER } from '../support/models.ts';
import { startService } from '../support/service.ts';

const sha256 = (text: string) => createHash('sha256').update(text).digest('hex');
const servers = { brokerUrl: 'memory:', storeUrl: 'memory:' };

const SUBMIT = gql`mutation Submit($input: PredictionInput!) {
  submitPrediction(input: $input, options: { waitMs: 20000 }) { id state model { id name } prediction { ... on IrisPrediction { label } } } }`;
const COMPLETED = gql`subscription Completed($id: ID!) { taskCompleted(id: $id) { id state model { id name inputs { name } } } }`;
const MODELS = gql`{ models { id name inputs { name } } again: models { id name outputs { name } } }`;

/** What `fetch` is asked, in order. */
function recordingFetch() {
  const sent: { body: Record<string, unknown>; accept: string | null; status: number }[] = [];
  const record: typeof fetch = async (input, init) => {
    const response = await fetch(input, init);
    const { searchParams } = new URL(String(input));
    const body = typeof init?.body === 'string' ? JSON.parse(init.body) : Object.fromEntries(searchParams);
    sent.push({ body, accept: new Headers(init?.headers).get('accept'), status: response.status });
    return response;
  };
  return { sent, fetch: record };
}

const modelsIn = ({ cache }: ApolloClient) =>
  Object.keys(cache.extract() ?? {})
    .filter((key) => key.startsWith('Model:'))
    .sort();

describeService('Apollo Client, as it comes', {}, (service) => {
  const open = () =>
    new ApolloClient({ link: new HttpLink({ uri: service().client.url }), cache: new InMemoryCache() });

  test('subscribes, before and after a task is done', async () => {
    const client = open();
    const { id } = await service().client.submit({ iris: FLOWER });
    for (let times = 0; times < 2; times += 1) {
      const events = await lastValueFrom(client.subscribe({ query: COMPLETED, variables: { id } }).pipe(toArray()));
      expect(events).toMatchObject([{ data: { taskCompleted: { id, state: 'SUCCEEDED' } } }]);
    }
    const unknown = client.subscribe({ query: COMPLETED, variables: { id: crypto.randomUUID() } });
    const [event] = await lastValueFrom(unknown.pipe(toArray()));
    expect(event?.error).toMatchObject({ errors: [{ extensions: { code: 'UNKNOWN_TASK' } }] });
    const invalid = client.subscribe({ query: gql`subscription { taskCompleted(id: "x") { nothing } }` });
    const [refused] = await lastValueFrom(invalid.pipe(toArray()));
    expect(refused?.error).toMatchObject({ errors: [{ extensions: { code: 'GRAPHQL_VALIDATION_FAILED' } }] });
    client.stop();
  });

  test('keeps several models apart in its cache, and finds the one of a task there', async () => {
    const client = open();
    const { data } = await client.query<{ models: { id: string; name: string }[] }>({ query: MODELS });
    const names = data?.models.map(({ name }) => name);
    expect(names).toEqual(['digits', 'iris', 'spam']);
    // Read from the cache alone, both selections merged.
    expect(client.cache.readQuery({ query: MODELS })).toEqual(data);
    const kept = modelsIn(client);
    expect(kept).toEqual(data?.models.map(({ id }) => `Model:${id}`).sort());
    const { data: submitted } = await client.mutate({ mutation: SUBMIT, variables: { input: { iris: FLOWER } } });
    expect(submitted).toMatchObject({ submitPrediction: { model: { name: 'iris' }, prediction: { label: 'setosa' } } });
    expect(modelsIn(client)).toEqual(kept);
    client.stop();
  });

  test.each([false, true])(
    'sends the text of its persisted queries after one refusal (hashes by GET: %s)',
    async (useGETForHashedQueries) => {
      const { sent, fetch } = recordingFetch();
      const http = new HttpLink({ uri: service().client.url, fetch });
      const link = new PersistedQueryLink({ sha256, useGETForHashedQueries }).concat(http);
      const client = new ApolloClient({ link, cache: new InMemoryCache() });
      expect(await client.query({ query: MODELS })).toMatchObject({ data: { models: expect.any(Array) } });
      expect(sent.map(({ body, status }) => ['query' in body, status])).toEqual([
        [false, 200],
        [true, 200],
      ]);
      const { data } = await client.mutate({ mutation: SUBMIT, variables: { input: { iris: FLOWER } } });
      expect(data).toMatchObject({ submitPrediction: { state: 'SUCCEEDED' } });
      expect(sent).toHaveLength(3);
      client.stop();
    },
  );
});

describe('a hash in place of a query', () => {
  const persistedQuery = { version: 1, sha256Hash: sha256('{ __typename }') };

  test('is refused with what clients compare, by POST and GET, whatever answer is asked for', async () => {
    const { client } = await startService({ servers, withWorker: false });
    const address = `${client.url}?${new URLSearchParams({ extensions: JSON.stringify({ persistedQuery }) })}`;
    for (const accept of ['*/*', 'application/json', 'application/graphql-response+json', 'text/html']) {
      for (const body of [
        { extensions: { persistedQuery } },
        { query: null, extensions: { persistedQuery } },
        { query: '', extensions: { persistedQuery } },
        undefined,
      ]) {
        const headers = { 'content-type': 'application/json', accept };
        const response = body
          ? await fetch(client.url, { method: 'POST', headers, body: JSON.stringify(body) })
          : await fetch(address, { headers: accept === 'text/html' ? {} : headers });
        expect(response.status).toBe(200);
        expect(await response.json()).toEqual({
          errors: [{ message: 'PersistedQueryNotSupported', extensions: { code: 'PERSISTED_QUERY_NOT_SUPPORTED' } }],
        });
      }
    }
  });

  test('beside the text is ignored', async () => {
    const { client } = await startService({ servers, withWorker: false });
    for (const extension of [persistedQuery, { version: 1, sha256Hash: 'of another text' }, {}, null]) {
      const body = JSON.stringify({ query: '{ __typename }', extensions: { persistedQuery: extension } });
      const headers = { 'content-type': 'application/json' };
      const response = await fetch(client.url, { method: 'POST', headers, body });
      expect(await response.json()).toEqual({ data: { __typename: 'Query' } });
    }
    const other = await client.ask('', {});
    expect(other.errors?.[0]?.extensions.code).not.toBe('PERSISTED_QUERY_NOT_SUPPORTED');
  });
});
