import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { createPredictions } from '../../src/api/predictions/predictions.ts';
import { servedModel, spec } from '../support/models.ts';
import { type RedisServer, startRedis } from '../support/redis.ts';
import { openService, type Service } from '../support/service.ts';
import { createTestLog } from '../support/test-log.ts';

const KEYS = { ann: 'ann-0123456789-0123456789', bob: 'bob-0123456789-0123456789' };
const MODEL = servedModel(
  'm',
  { inputs: [spec('x', 'UINT8', [null, null])], outputs: [spec('y', 'UINT8', [null, null])], batched: true },
  { maxBatch: 16 },
);

let redis: RedisServer;
let service: Service;
beforeAll(async () => {
  redis = await startRedis();
  const servers = { brokerUrl: 'memory:', storeUrl: redis.url };
  const keys = `ann:${KEYS.ann},bob:${KEYS.bob}`;
  service = await openService({ servers, keys, key: KEYS.ann, withWorker: false });
  await service.registry.register([MODEL]);
});
afterAll(async () => {
  await service.close();
  await redis.close();
});

const limit = (maxmemory: string) => redis.cli('CONFIG', 'SET', 'maxmemory', maxmemory);
const readyz = async () => {
  const response = await fetch(`${service.api.url}/readyz`);
  return { status: response.status, body: await response.json() };
};
const SUBMIT =
  'mutation ($input: PredictionInput!, $options: SubmitOptions) { submitPrediction(input: $input, options: $options) { id } }';
const submit = (bytes: number, options = {}) => {
  const input = {
    name: 'x',
    datatype: 'UINT8',
    shape: [1, bytes],
    data: { base64: Buffer.alloc(bytes).toString('base64') },
  };
  return service.client.ask(SUBMIT, { input: { tensors: { model: 'm', inputs: [input] } }, options });
};

test('/readyz and /metrics say how full the store is', async () => {
  await limit('0');
  await expect.poll(readyz, { timeout: 10_000 }).toEqual({
    status: 200,
    body: { status: 'ready', broker: true, store: true, models: 1 },
  });
  const metric = async (name: string) => {
    const text = await (await fetch(`${service.api.url}/metrics`)).text();
    return new RegExp(`^${name} (.*)$`, 'm').exec(text)?.[1];
  };
  expect(await metric('foretell_store_limit_bytes')).toBe('+Inf');
  await limit('64mb');
  await expect.poll(() => metric('foretell_store_limit_bytes'), { timeout: 5_000 }).toBe(`${48 * 2 ** 20}`);
  await submit(10);
  await expect.poll(() => metric('foretell_store_bytes'), { timeout: 5_000 }).toBe('1024');

  await limit('1mb');
  await expect.poll(readyz, { timeout: 5_000 }).toEqual({
    status: 503,
    body: {
      status: 'not ready',
      broker: true,
      store: true,
      models: 1,
      reason: expect.stringMatching(/^store full: tasks take \d+ bytes of at most \d+$/),
    },
  });
  await limit('0');
  await expect.poll(async () => (await readyz()).status, { timeout: 5_000 }).toBe(200);
});

test('what a store has no room for is refused before anything of it is written', async () => {
  await limit('16mb');
  await expect.poll(() => service.room.level().limit, { timeout: 5_000 }).toBe(12 * 2 ** 20);
  const keys = await redis.cli('KEYS', '*');
  const { errors } = await submit(11 * 2 ** 20);
  expect(errors).toMatchObject([
    {
      message: expect.stringContaining('the store has no room for'),
      path: ['submitPrediction'],
      extensions: { code: 'STORE_FULL', retryAfterMs: expect.any(Number) },
    },
  ]);
  expect(await redis.cli('KEYS', '*')).toBe(keys);
});

test('where all is in one process, inputs count for their owner also where a message could carry them', async () => {
  const embedded = await openService({ servers: { brokerUrl: 'memory:', storeUrl: 'memory:' }, withWorker: false });
  onTestFinished(() => embedded.close());
  await embedded.registry.register([MODEL]);
  const input = {
    name: 'x',
    datatype: 'UINT8',
    shape: [1, 100_000],
    data: { base64: Buffer.alloc(100_000).toString('base64') },
  };
  await embedded.client.get(SUBMIT, { input: { tensors: { model: 'm', inputs: [input] } } });
  expect(embedded.room.level().bytes).toBeGreaterThan(100_000);
});

test.each([
  ['record', {}, 10],
  ['deadline', { expiresInMs: 60_000 }, 10],
  ['inputs', {}, 2 * 2 ** 20],
])(
  'a Redis that runs out of memory before the %s refuses the submission, which leaves nothing to run',
  async (what, options, bytes) => {
    await limit('0');
    const queued: string[] = [];
    const { store, deadlines, payloads } = service;
    /** Takes Redis its memory, right before one of the steps. */
    const before = async (step: string) => {
      if (step === what) await limit('1');
    };
    const predictions = createPredictions({
      ...service,
      resultTtlMs: 60_000,
      log: createTestLog(),
      // As it was read last, when there was memory.
      room: { ...service.room, take: async () => () => undefined },
      store: {
        ...store,
        async create(submissions) {
          await before('record');
          queued.push(...submissions.map(({ id }) => id));
          await store.create(submissions);
        },
      },
      deadlines: {
        ...deadlines,
        async add(added) {
          await before('deadline');
          await deadlines.add(added);
        },
      },
      payloads: {
        ...payloads,
        async put(of, payload) {
          await before('inputs');
          return payloads.put(of, payload);
        },
      },
    });
    const input = { name: 'x', datatype: 'UINT8' as const, shape: [1, bytes], data: new Uint8Array(bytes) };
    const request = { model: MODEL, door: 'tensors' as const, inputs: [input], path: [] };
    const refused = await predictions
      .submit([request], { owner: 'ann', waitMs: 0, ...options })
      .catch((error: unknown) => error);
    await limit('0');
    expect(refused).toMatchObject({ code: 'STORE_FULL', retryable: true });
    expect(queued).toHaveLength(1);
    expect(await store.heads(queued)).toEqual([undefined]);
    expect(await deadlines.due(Date.now() + 120_000, 10)).toEqual([]);
    for (const id of queued) expect(await payloads.get(id)).toBeUndefined();
  },
);
