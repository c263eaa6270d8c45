import { once } from 'node:events';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { fetchExchange, subscriptionExchange, Client as UrqlClient } from '@urql/core';
import { EventSource } from 'eventsource';
import { createClient } from 'graphql-sse';
import { expect, test } from 'vitest';
import { describeService } from '../support/describe-service.ts';
import { FLOWER, IRIS } from '../support/models.ts';

/** How streams are asked for, Apollo's way among them. */
const STREAMS = ['text/event-stream', 'multipart/mixed;boundary=graphql;subscriptionSpec=1.0,application/json'];

const QUERY = 'subscription ($id: ID!) { taskCompleted(id: $id) { id state } }';

describeService('subscriptions', {}, (service) => {
  test('opened before, at, or after the moment of completion get their one event, then complete', async () => {
    const { client } = service();
    const tasks = await client.submitAll(Array.from({ length: 60 }, () => ({ iris: FLOWER })));
    // All of them race with the completions: some are before, some at the moment, some after.
    const racing = await Promise.all(tasks.map(({ id }) => client.completed(id)));
    const after = await Promise.all(tasks.map(({ id }) => client.completed(id)));
    for (const events of [racing, after]) {
      expect(events.map((one) => one.map(({ id, state }) => [id, state]))).toEqual(
        tasks.map(({ id }) => [[id, 'SUCCEEDED']]),
      );
    }
  });

  test('to many tasks tell of each once, also when an id is named twice', async () => {
    const { client } = service();
    const ids = (await client.submitAll(Array.from({ length: 30 }, () => ({ iris: FLOWER })))).map(({ id }) => id);
    const events = await client.completions([...ids, ...ids]);
    expect(events.map(({ id }) => id).sort()).toEqual(ids.sort());
    expect(await client.completions([])).toEqual([]);
  });

  test('to updates tell the present state and then every change, in order', async () => {
    const { client } = service();
    const { id } = await client.submit({ iris: FLOWER });
    const states = (await client.updates(id)).map(({ state }) => state);
    expect(['QUEUED', 'RUNNING', 'SUCCEEDED'].slice(-states.length)).toEqual(states);
    expect((await client.updates(id)).map(({ state }) => state)).toEqual(['SUCCEEDED']);
  });

  test('to ids that result would not find get one UNKNOWN_TASK error that lists them, then complete', async () => {
    const { client } = service();
    const { id } = await client.submit({ iris: FLOWER });
    const stream = createClient({ url: client.url });
    const query = 'subscription ($ids: [ID!]!) { tasksCompleted(ids: $ids) { id } }';
    const events = [];
    for await (const event of stream.iterate({ query, variables: { ids: [id, 'one', 'two'] } })) events.push(event);
    expect(events).toHaveLength(1);
    expect(events[0]?.errors?.[0]).toMatchObject({ extensions: { code: 'UNKNOWN_TASK' } });
    expect(events[0]?.errors?.[0]?.message).toMatch(/one, two/);
    stream.dispose();
  });

  test('work with a browser’s EventSource, over GET', async () => {
    const { client } = service();
    const { id } = await client.submit({ iris: FLOWER });
    const url = `${client.url}?${new URLSearchParams({ query: QUERY, variables: JSON.stringify({ id }) })}`;
    const events: string[] = [];
    await new Promise<void>((resolve, reject) => {
      const source = new EventSource(url);
      source.addEventListener('next', ({ data }) => events.push(data));
      source.addEventListener('complete', () => {
        source.close();
        resolve();
      });
      source.addEventListener('error', reject);
    });
    expect(events.map((data) => JSON.parse(data))).toEqual([{ data: { taskCompleted: { id, state: 'SUCCEEDED' } } }]);
  });

  test('work with urql', async () => {
    const { client } = service();
    const { id } = await client.submit({ iris: FLOWER });
    const sse = createClient({ url: client.url });
    const urql = new UrqlClient({
      url: client.url,
      preferGetMethod: false,
      exchanges: [
        fetchExchange,
        subscriptionExchange({
          forwardSubscription: ({ query, variables }) => ({
            subscribe: (sink) => ({
              unsubscribe: sse.subscribe({ query: query ?? '', variables: variables as Record<string, unknown> }, sink),
            }),
          }),
        }),
      ],
    });
    const data = await new Promise((resolve) => {
      const { unsubscribe } = urql.subscription(QUERY, { id }).subscribe((result) => {
        resolve(result.data);
        queueMicrotask(() => unsubscribe());
      });
    });
    expect(data).toMatchObject({ taskCompleted: { id, state: 'SUCCEEDED' } });
    sse.dispose();
  });
});

describeService('a client that disconnects', { withWorker: false }, (service) => {
  test('leaves nothing behind in the server, however many they are', async () => {
    const { client, registry, store } = service();
    await registry.register([IRIS]);
    const { id } = await client.submit({ iris: FLOWER });
    const subscriptions = ['taskCompleted(id: $id)', 'tasksCompleted(ids: [$id])', 'taskUpdated(id: $id)'];
    const aborts = await Promise.all(
      Array.from({ length: 30 }, async (_, i) => {
        const abort = new AbortController();
        const response = await fetch(client.url, {
          method: 'POST',
          headers: { 'content-type': 'application/json', accept: STREAMS[i % 2] ?? '' },
          body: JSON.stringify({
            query: `subscription ($id: ID!) { ${subscriptions[i % 3]} { id } }`,
            variables: { id },
          }),
          signal: abort.signal,
        });
        // The first bytes come once the stream is open, and with it its listener.
        await response.body?.getReader().read();
        return abort;
      }),
    );
    expect(store.watching()).toBe(30);
    for (const abort of aborts) abort.abort();
    await expect.poll(() => store.watching(), { interval: 5, timeout: 10_000 }).toBe(0);
  });

  test('leaves nothing behind at whatever moment it goes', async () => {
    const { client, registry, store } = service();
    await registry.register([IRIS]);
    const { id } = await client.submit({ iris: FLOWER });
    const query = 'subscription ($id: ID!) { taskUpdated(id: $id) { id } }';
    // Before the request is read, while the task is looked up, before the answer has begun, and after.
    for (let round = 0; round < 60; round += 1) {
      await Promise.all(
        Array.from({ length: 16 }, (_, i) =>
          subscribeAndGo(client.url, { query, variables: { id } }, Math.random() * i),
        ),
      );
    }
    await expect.poll(() => store.watching(), { interval: 5, timeout: 10_000 }).toBe(0);
  });

  test('while it waits for its answer is waited for no longer', async () => {
    const { client, store } = service();
    const abort = new AbortController();
    const query =
      'mutation ($input: PredictionInput!) { submitPrediction(input: $input, options: { waitMs: 30000 }) { id } }';
    const answer = fetch(client.url, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ query, variables: { input: { iris: FLOWER } } }),
      signal: abort.signal,
    });
    await expect.poll(() => store.watching(), { interval: 5, timeout: 10_000 }).toBe(1);
    abort.abort();
    await expect(answer).rejects.toThrow();
    await expect.poll(() => store.watching(), { interval: 5, timeout: 10_000 }).toBe(0);
  });
});

/** Sends a subscription, and cuts the connection some milliseconds later. */
async function subscribeAndGo(url: string, operation: object, afterMs: number): Promise<void> {
  const { hostname, port, host } = new URL(url);
  const body = JSON.stringify(operation);
  const headers = ['content-type: application/json', 'accept: text/event-stream', `content-length: ${body.length}`];
  const socket = connect(Number(port), hostname);
  const closed = once(socket, 'close');
  await once(socket, 'connect');
  socket.write(['POST /graphql HTTP/1.1', `host: ${host}`, ...headers, '', body].join('\r\n'));
  await sleep(afterMs);
  socket.resetAndDestroy();
  await closed;
}
