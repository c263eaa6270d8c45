import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { GraphQLError } from 'graphql';
import { serverAudits } from 'graphql-http';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import type { Step } from '../../src/api/graphql/request/operation.ts';
import { createGraphQLServer } from '../../src/api/graphql/request/server.ts';
import { STEPS } from '../../src/api/graphql/request/steps.ts';
import { createPredictions } from '../../src/api/predictions/predictions.ts';
import { FLOWER } from '../support/models.ts';
import { createRandom } from '../support/random.ts';
import { openService, type Service } from '../support/service.ts';
import { createTestLog } from '../support/test-log.ts';

const SUBMIT =
  'mutation ($input: PredictionInput!, $options: SubmitOptions) { submitPrediction(input: $input, options: $options) { state prediction { ... on IrisPrediction { label } } error { code } } }';
const RESULT = 'query ($id: ID!) { result(id: $id) { state } }';
const COMPLETED = 'subscription ($id: ID!) { taskCompleted(id: $id) { state prediction { __typename } } }';
const NOBODY = '00000000-0000-4000-8000-000000000000';
const deep = (levels: number) => `{ ${'models { signature { '.repeat(levels)} name ${'} }'.repeat(levels)} }`;

/** Bodies of requests, as a client may send them, in order and out of order. */
const BODIES: [string, unknown][] = [
  ['an operation', { query: '{ models { name version } }' }],
  ['one of several operations', { query: 'query A { __typename } query B { models { name } }', operationName: 'B' }],
  ['none of several operations', { query: 'query A { __typename } query B { models { name } }' }],
  ['an operation that is not there', { query: 'query A { __typename }', operationName: 'B' }],
  ['variables and extensions that are null', { query: '{ __typename }', variables: null, extensions: null }],
  ['a prediction', { query: SUBMIT, variables: { input: { iris: FLOWER }, options: { waitMs: 20_000 } } }],
  ['a field too few', { query: SUBMIT, variables: { input: { iris: { ...FLOWER, petalWidthCm: undefined } } } }],
  ['a field too many', { query: SUBMIT, variables: { input: { iris: { ...FLOWER, colour: 1 } } } }],
  ['a model that is not there', { query: SUBMIT, variables: { input: { tensors: { model: 'rose', inputs: [] } } } }],
  ['no input', { query: SUBMIT, variables: {} }],
  ['an option out of bounds', { query: SUBMIT, variables: { input: { iris: FLOWER }, options: { waitMs: -1 } } }],
  ['a literal of a wrong type', { query: 'mutation { submitPrediction(input: { iris: 1 }) { id } }' }],
  ['an id of nobody', { query: RESULT, variables: { id: NOBODY } }],
  [
    'too many ids',
    { query: 'query ($ids: [ID!]!) { results(ids: $ids) { id } }', variables: { ids: Array(1_001).fill('x') } },
  ],
  [
    'a task to cancel that is unknown',
    { query: 'mutation ($id: ID!) { cancelTask(id: $id) { id } }', variables: { id: NOBODY } },
  ],
  ['a subscription to a task that is unknown', { query: COMPLETED, variables: { id: NOBODY } }],
  ['a subscription that does not validate', { query: 'subscription { taskCompleted { id } }' }],
  ['a field that is not there', { query: '{ nothing }' }],
  ['no GraphQL', { query: '{' }],
  ['too many levels', { query: deep(15) }],
  ['too many aliases', { query: `{ ${Array.from({ length: 40 }, (_, i) => `a${i}: __typename`).join(' ')} }` }],
  ['too many tokens', { query: `{ ${'__typename '.repeat(3_000)} }` }],
  ['a document too long', { query: `{ __typename } # ${'x'.repeat(40_000)}` }],
  ['introspection', { query: '{ __schema { queryType { name } } }' }],
  ['an unknown parameter', { query: '{ __typename }', more: 1 }],
  ['a query that is a number', { query: 1 }],
  ['variables that are a list', { query: '{ __typename }', variables: [] }],
  ['no query', {}],
  ['a list', [{ query: '{ __typename }' }]],
  ['null', null],
  ['a string', 'query'],
];
const ACCEPTS = [undefined, '*/*', 'application/json', 'application/graphql-response+json', 'text/event-stream'];

/** What is plain is answered directly, and all else by Yoga; an address with a `?` is not plain. */
const WAYS = ['', '?'];

/** Headers that say when and how an answer was sent. */
const OF_THE_CONNECTION = new Set(['date', 'connection', 'keep-alive', 'content-length', 'transfer-encoding']);

describe('what is answered directly and what Yoga answers are the same', () => {
  let service: Service;
  beforeAll(async () => {
    service = await openService({ servers: { brokerUrl: 'memory:', storeUrl: 'memory:' } });
  });
  afterAll(() => service.close());

  async function answers(body: string | Uint8Array<ArrayBuffer>, accept: string | undefined) {
    const ask = async (way: string) => {
      const headers = { 'content-type': 'application/json', ...(accept !== undefined && { accept }) };
      const response = await fetch(service.client.url + way, { method: 'POST', headers, body });
      const text = await response.text();
      const told = [...response.headers].filter(([name]) => !OF_THE_CONNECTION.has(name));
      return { status: response.status, headers: Object.fromEntries(told), text };
    };
    return Promise.all(WAYS.map(ask));
  }

  test.each(BODIES)('%s, whatever answer is asked for', async (_what, body) => {
    for (const accept of ACCEPTS) {
      const [direct, byYoga] = await answers(JSON.stringify(body), accept);
      expect(direct).toEqual(byYoga);
    }
  });

  test('a body that is cut, or has a byte changed, anywhere', async () => {
    const random = createRandom(5);
    const whole = Buffer.from(
      JSON.stringify({ query: SUBMIT, variables: { input: { iris: FLOWER } }, operationName: null }),
    );
    for (let i = 0; i < 60; i += 1) {
      const at = random.integer(0, whole.length - 1);
      const other = Buffer.from(whole);
      other[at] = random.integer(0, 255);
      for (const body of [whole.subarray(0, at), other]) {
        const [direct, byYoga] = await answers(new Uint8Array(body), undefined);
        expect(direct, body.toString('latin1')).toEqual(byYoga);
      }
    }
  });

  test('graphql-http audits Yoga’s way, too, without a complaint', async () => {
    const audits = serverAudits({ url: `${service.client.url}?` });
    for (const audit of audits) expect(await audit.fn(), audit.name).toMatchObject({ status: 'ok' });
  });
});

describe('what is added once is there on both ways', () => {
  /** A server with these steps beside the usual ones; with each answer, how many steps of the work took a turn of their own. */
  async function serve(steps: readonly Step[]) {
    const service = await openService({ servers: { brokerUrl: 'memory:', storeUrl: 'memory:' }, withWorker: false });
    const log = createTestLog();
    const graphql = createGraphQLServer({
      predictions: createPredictions({ ...service, resultTtlMs: 60_000, log }),
      registry: service.registry,
      settings: { bodyLimitBytes: 10_000, introspection: true },
      log,
      steps: [...STEPS, ...steps],
    });
    let turns = 0;
    const ignore = () => undefined;
    const load = {
      owner: 'o',
      take: ignore,
      hold: ignore,
      holdEvent: ignore,
      holdTensor: ignore,
      unpack: ignore,
      turn: async () => undefined,
      step: async () => {
        turns += 1;
      },
    };
    const server = createServer((request, response) => {
      const gone = new AbortController();
      response.once('close', () => gone.abort());
      const given = { owner: 'o', gone: () => gone.signal, closing: gone.signal, traceparent: undefined };
      void graphql.handle(request, response, { ...given, load });
    }).listen(0, '127.0.0.1');
    await new Promise((resolve) => server.once('listening', resolve));
    onTestFinished(async () => {
      server.closeAllConnections();
      server.close();
      graphql.close();
      await service.close();
    });
    const { port } = server.address() as AddressInfo;
    const ask = async (way: string, body: object, accept: string) => {
      turns = 0;
      const headers = { 'content-type': 'application/json', accept };
      const url = `http://127.0.0.1:${port}/graphql${way}`;
      const response = await fetch(url, { method: 'POST', headers, body: JSON.stringify(body) });
      return {
        status: response.status,
        text: await response.text(),
        turns,
      };
    };
    return ask;
  }

  const OPERATIONS: [string, object, string][] = [
    ['a query', { query: '{ __typename }' }, 'application/json'],
    ['a mutation', { query: 'mutation { __typename }' }, 'application/json'],
    ['a subscription', { query: COMPLETED, variables: { id: NOBODY } }, 'text/event-stream'],
  ];

  test.each(OPERATIONS)('a step sees %s, may refuse it, and sees what is answered', async (_what, body, accept) => {
    const refuse = (stage: string) => new GraphQLError(`not ${stage}`, { extensions: { code: 'FORBIDDEN' } });
    let refused = '';
    const ask = await serve([
      {
        onParams() {
          if (refused === 'params') throw refuse('params');
        },
        onOperation: () => (refused === 'operation' ? refuse('operation') : undefined),
        onResult: (result) => ({ ...result, extensions: { seen: true } }),
      },
    ]);
    for (const way of WAYS) {
      for (refused of ['', 'params', 'operation']) {
        const { text } = await ask(way, body, accept);
        expect(text.includes(`"message":"not ${refused}"`), `${way} ${text}`).toBe(refused !== '');
        // What is refused by its params alone is no operation, whose result could be seen.
        if (refused !== 'params') expect(text, way).toContain('"extensions":{"seen":true}');
      }
    }
  });

  test.each(OPERATIONS)('%s is checked and run in turns of its own', async (_what, body, accept) => {
    const ask = await serve([]);
    for (const way of WAYS) expect((await ask(way, body, accept)).turns, way).toBe(2);
  });
});
