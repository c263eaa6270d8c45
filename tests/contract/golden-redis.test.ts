import { once } from 'node:events';
import { connect } from 'node:net';
import { describe, expect, onTestFinished, test } from 'vitest';
import { fingerprintOf, type ServedModel } from '../../src/models/served-model.ts';
import type { TaskEvent } from '../../src/task/task.ts';
import type { RedisServer } from '../support/redis.ts';
import { hexOf, INPUTS, SUBMISSION, SUBMISSION_JSON, withKey } from './golden-samples.ts';
import { openForTest, startServer } from './redis-samples.ts';
import { eventsArrived, failed, running, succeeded } from './store-samples.ts';

/** What Redis keeps and publishes for other processes, which may be of another release, as golden.test.ts has it of RabbitMQ. */

const KEY = 'foretell:{6a2f41a3-c54c-4b0e-9a3b-0d9f6f1d2c11}';

const RESULT_JSON =
  '{"header":{"runMs":1.5,"batchSize":3},"tensors":[{"name":"features","datatype":"FP32","shape":[1,2]},' +
  '{"name":"label","datatype":"STRING","shape":[1],"strings":["ä"]}]}';
const RESULT = `${hexOf(RESULT_JSON)}0000803f00000040`;
const FAILURE_JSON = '{"header":{"error":{"code":"MODEL_ERROR","message":"the model said \\"no\\""}},"tensors":[]}';

const TO_HEX = `return (redis.call('HGET', KEYS[1], 'end'):gsub('.', function(c) return string.format('%02x', c:byte()) end))`;
const FROM_HEX = `local bytes = ARGV[1]:gsub('..', function(hex) return string.char(tonumber(hex, 16)) end)
return redis.call('HSET', KEYS[1], 'end', bytes)`;

describe('the record of a task', () => {
  test.for([
    ['SUCCEEDED', succeeded(SUBMISSION, INPUTS), RESULT],
    ['FAILED', failed(SUBMISSION), hexOf(FAILURE_JSON)],
  ] as const)('that ended as %s, as it is written', async ([state, change, end]) => {
    const redis = await startServer();
    const { store } = await openForTest(redis.url);
    await store.create([SUBMISSION]);
    await store.transition(SUBMISSION.id, { ...running(SUBMISSION), claim: 'claim-1' });
    await store.transition(SUBMISSION.id, change);
    const names = ['state', 'attempts', 'revision', 'claim', 'startedAt', 'completedAt', 'submission'];
    const kept = (await redis.cli('HMGET', KEY, ...names)).split('\n');
    expect(kept).toEqual([state, '1', '3', 'claim-1', '20', '30', SUBMISSION_JSON]);
    expect(await redis.cli('HLEN', KEY)).toBe(String(names.length + 1));
    expect(await redis.cli('EVAL', TO_HEX, '1', KEY)).toBe(end);
  });

  test('as it is read, and by a later release, which says more', async () => {
    const redis = await startServer();
    const { store } = await openForTest(redis.url);
    const read = async (submission: string, end: string, ...more: string[]) => {
      const fields = ['state', 'SUCCEEDED', 'attempts', '2', 'revision', '5', 'startedAt', '20', 'completedAt', '30'];
      await redis.cli('HSET', KEY, ...fields, 'claim', 'claim-1', 'submission', submission, ...more);
      await redis.cli('EVAL', FROM_HEX, '1', KEY, end);
      return store.get([SUBMISSION.id], SUBMISSION.owner);
    };
    const counts = { state: 'SUCCEEDED', attempts: 2, revision: 5, startedAt: 20, completedAt: 30 };
    const task = { ...SUBMISSION, ...counts, result: { runMs: 1.5, batchSize: 3, outputs: INPUTS } };
    await expect.poll(() => read(SUBMISSION_JSON, RESULT).catch(() => [])).toEqual([task]);
    const later = withKey(SUBMISSION_JSON.replace('"name"', '"later":1,"name"'), '"later":{"a":[1]}');
    const json = RESULT_JSON.replace('"runMs"', '"later":1,"runMs"').replaceAll('{"name"', '{"later":1,"name"');
    const laterEnd = `${hexOf(withKey(json, '"later":1'))}0000803f00000040`;
    expect(await read(later, laterEnd, 'later', '1')).toEqual([task]);
  });
});

describe('the event of a task', () => {
  const end = Buffer.from(RESULT, 'hex').toString('base64');
  const EVENTS = [
    '[{"id":"6a2f41a3-c54c-4b0e-9a3b-0d9f6f1d2c11","state":"RUNNING","at":20,"attempts":1,"revision":2}]',
    `[{"id":"6a2f41a3-c54c-4b0e-9a3b-0d9f6f1d2c11","state":"SUCCEEDED","at":30,"attempts":1,"revision":3,"startedAt":20,"end":"${end}"}]`,
  ];

  test('as it is published', async () => {
    const redis = await startServer();
    const heard = await listen(redis, 'foretell:tasks');
    const { store } = await openForTest(redis.url);
    await store.create([SUBMISSION]);
    await store.transition(SUBMISSION.id, running(SUBMISSION));
    await store.transition(SUBMISSION.id, succeeded(SUBMISSION, INPUTS));
    await expect.poll(heard).toContain('SUCCEEDED');
    expect(
      heard()
        .match(/^\[.*$/gm)
        ?.map((line) => line.trimEnd()),
    ).toEqual(EVENTS);
  });

  test('as it is heard, also of a later release, which says more', async () => {
    const redis = await startServer();
    const { store } = await openForTest(redis.url);
    await eventsArrived(store);
    const told: TaskEvent[] = [];
    onTestFinished(store.watch(SUBMISSION.id, (event) => event !== 'reread' && told.push(event)));
    const later = EVENTS.map((text) => text.replace('}]', ',"later":{"a":[1]}}]'));
    for (const text of [...EVENTS, ...later]) await redis.cli('PUBLISH', 'foretell:tasks', text);
    await expect.poll(() => told.length).toBe(4);
    const { id } = SUBMISSION;
    const result = { runMs: 1.5, batchSize: 3, outputs: INPUTS };
    const began = { id, state: 'RUNNING', at: 20, attempts: 1, revision: 2 };
    const ended = { id, state: 'SUCCEEDED', at: 30, attempts: 1, revision: 3, ending: { startedAt: 20, result } };
    expect(told).toEqual([began, ended, began, ended]);
  });
});

describe('the registration of a model', () => {
  /** Every key that one may have. */
  const MODEL: ServedModel = {
    name: 'iris',
    version: '1',
    description: 'Irises.',
    digest: 'd1',
    besides: 'b1',
    signature: {
      inputs: [{ name: 'features', datatype: 'FP32', shape: [null, 4] }],
      outputs: [{ name: 'label', datatype: 'INT64', shape: null }],
      batched: true,
      equalSizes: [{ symbol: 'n', places: [{ input: 'features', dimension: 0, orOne: true }] }],
      maxSizes: [{ input: 'features', dimension: 0, symbol: 'n', max: 8 }],
    },
    names: {
      inputs: {
        features: { fields: ['a', 'b', 'c', 'd'], image: { colour: 'rgb', ink: { box: 20 }, mean: [1, 2, 3] } },
      },
      outputs: { label: { labels: ['x', 'y'] } },
    },
    maxBatch: 64,
    sharingKey: 's1',
    unbatched: 'Because.',
    maxWaiting: 100_000,
    defaultVersion: '1',
    example: { a: 1 },
  };
  const MODEL_JSON =
    '{"name":"iris","version":"1","description":"Irises.","digest":"d1","besides":"b1","signature":{' +
    '"inputs":[{"name":"features","datatype":"FP32","shape":[null,4]}],"outputs":[{"name":"label","datatype":"INT64","shape":null}],' +
    '"batched":true,"equalSizes":[{"symbol":"n","places":[{"input":"features","dimension":0,"orOne":true}]}],' +
    '"maxSizes":[{"input":"features","dimension":0,"symbol":"n","max":8}]},"names":{"inputs":{"features":{' +
    '"fields":["a","b","c","d"],"image":{"colour":"rgb","ink":{"box":20},"mean":[1,2,3]}}},"outputs":{"label":{"labels":["x","y"]}}},' +
    '"maxBatch":64,"sharingKey":"s1","unbatched":"Because.","maxWaiting":100000,"defaultVersion":"1","example":{"a":1}}';
  const FINGERPRINT = '6d2c10b128512bd0856fb6b2';
  const FIELD = '["iris","1"]';
  const FAULT = { name: 'spam', version: '2', newest: '3', message: 'broken' };

  test('as it is written', async () => {
    const redis = await startServer();
    const { registry } = await openForTest(redis.url);
    await expect.poll(registry.isReady).toBe(true);
    await registry.register([MODEL], [FAULT]);
    expect(JSON.parse(await redis.cli('GET', `foretell:model:${FINGERPRINT}`))).toEqual(JSON.parse(MODEL_JSON));
    const pointer = JSON.parse(await redis.cli('HGET', 'foretell:models', FIELD));
    expect(pointer).toEqual({ fingerprint: FINGERPRINT, announcedAt: expect.any(Number), seenAt: expect.any(Number) });
    const worker = await redis.cli('HKEYS', 'foretell:workers');
    expect(await redis.cli('GET', `foretell:worker:${worker}`)).toBe(
      `{"models":{"[\\"iris\\",\\"1\\"]":"${FINGERPRINT}"},"faults":[{"name":"spam","version":"2","newest":"3","message":"broken"}]}`,
    );
    await registry.register([]);
    expect(JSON.parse(await redis.cli('HGET', 'foretell:models', FIELD))).toMatchObject({ withdrawn: true });
  });

  /** Writes what a worker does, and resolves with what another process finds. */
  async function read(model: string, fingerprint: string, more = '') {
    const redis = await startServer();
    const at = Date.now();
    await redis.cli('SET', `foretell:model:${fingerprint}`, model);
    const pointer = `{"fingerprint":"${fingerprint}","announcedAt":${at},"seenAt":${at}${more}}`;
    await redis.cli('HSET', 'foretell:models', FIELD, pointer);
    await redis.cli('HSET', 'foretell:workers', 'w1', '');
    const fault = `{"name":"spam","version":"2","newest":"3","message":"broken"${more}}`;
    await redis.cli(
      'SET',
      'foretell:worker:w1',
      `{"models":{"[\\"iris\\",\\"1\\"]":"${fingerprint}"},"faults":[${fault}]${more}}`,
    );
    const { registry } = await openForTest(redis.url);
    await expect.poll(registry.list).toHaveLength(1);
    expect(registry.workers(fingerprint)).toBe(1);
    expect(registry.faults()).toEqual([FAULT]);
    return { registry, found: await registry.find(fingerprint) };
  }

  test('as it is read', async () => {
    const { registry, found } = await read(MODEL_JSON, FINGERPRINT);
    expect([found, ...registry.list()]).toEqual([MODEL, MODEL]);
    expect(registry.list().map(fingerprintOf)).toEqual([FINGERPRINT]);
  });

  test('of a later release, which says more at every level: tasks refer to it by the fingerprint that it was registered by', async () => {
    const later = MODEL_JSON.replaceAll(/\{(?!"a":1)(?=")(?!"features":|"label":)/g, '{"later":1,');
    expect(later.match(/later/g)).toHaveLength(12);
    const fingerprint = fingerprintOf(JSON.parse(later));
    const { registry, found } = await read(later, fingerprint, ',"later":{"a":[1]}');
    expect(registry.list()).toMatchObject([MODEL]);
    expect([found, ...registry.list()].map((model) => model && fingerprintOf(model))).toEqual([
      fingerprint,
      fingerprint,
    ]);
  });
});

/** What a plain client of Redis hears on a channel, as text. */
async function listen({ port }: RedisServer, channel: string): Promise<() => string> {
  const socket = connect(port, '127.0.0.1');
  onTestFinished(() => void socket.destroy());
  let heard = '';
  socket.setEncoding('utf8').on('data', (text) => {
    heard += text;
  });
  socket.write(`SUBSCRIBE ${channel}\r\n`);
  await once(socket, 'data');
  return () => heard;
}
