import { createHash, randomBytes } from 'node:crypto';
import { expect, onTestFinished, test } from 'vitest';
import { readConfig } from '../../src/process/config.ts';
import { createLog } from '../../src/process/log.ts';
import { openWorker } from '../../workers/open.ts';
import { modelsDir } from '../support/models-dir.ts';
import { identity } from '../support/onnx-models.ts';
import { startRedis } from '../support/redis.ts';
import { PAIRS, type ServiceOptions, startService, useServers } from '../support/service.ts';

const MIB = 2 ** 20;
const LARGE = 32 * MIB;
const WAIT = { waitMs: 30_000 };

const models = () =>
  modelsDir({
    bytes: { onnx: identity('UINT8', ['rows', 'length']), manifest: { batched: false } },
    floats: { onnx: identity('FP32', ['rows', 'length']), manifest: { batched: false } },
    texts: { onnx: identity('STRING', ['length']), manifest: { batched: false } },
  });
const start = async (options: ServiceOptions) => startService({ modelsDir: await models(), ...options });

const digestOf = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');

const tensors = (model: string, datatype: string, shape: number[], data: object) => ({
  tensors: { model, inputs: [{ name: 'x', datatype, shape, data }] },
});
const bytesInput = (bytes: Buffer) =>
  tensors('bytes', 'UINT8', [1, bytes.length], { base64: bytes.toString('base64') });

/** Only what is large of a task, so that it is said once. */
const SUBMIT = `mutation ($input: PredictionInput!, $options: SubmitOptions) { submitPrediction(input: $input, options: $options) {
  id state error { code message } prediction { ... on TensorsPrediction { outputs { shape base64 strings } } } } }`;

interface Submitted {
  id: string;
  state: string;
  error: { code: string } | null;
  prediction: { outputs: { shape: number[]; base64: string | null; strings: string[] | null }[] } | null;
}

const outputOf = ({ prediction }: Submitted) => prediction?.outputs[0];

test.each(PAIRS)('32 MiB go in, and the same come out (%s)', { timeout: 120_000 }, async (pair) => {
  const service = await start({ servers: started[pair] });
  const submit = async (input: object) =>
    (await service.client.get<{ submitPrediction: Submitted }>(SUBMIT, { input, options: WAIT })).submitPrediction;

  const floats = Buffer.from(Float32Array.from({ length: LARGE / 4 }, Math.random).buffer);
  const input = tensors('floats', 'FP32', [1, LARGE / 4], { base64: floats.toString('base64') });
  const task = await submit(input);
  expect(task).toMatchObject({ state: 'SUCCEEDED', error: null });
  const output = outputOf(task);
  expect(output?.shape).toEqual([1, LARGE / 4]);
  expect(digestOf(Buffer.from(output?.base64 ?? '', 'base64'))).toBe(digestOf(floats));
  expect(await service.payloads.get(task.id)).toBeUndefined();

  const strings = Array.from({ length: 32 }, (_, i) => String.fromCharCode(97 + (i % 26)).repeat(MIB));
  const text = outputOf(await submit(tensors('texts', 'STRING', [32], { strings })));
  expect(text?.strings?.every((each, i) => each === strings[i])).toBe(true);

  // Several at once: each its own.
  const each = [1, 2, 3].map(() => randomBytes(LARGE));
  const tasks = await Promise.all(each.map((bytes) => submit(bytesInput(bytes))));
  const digests = tasks.map((one) => digestOf(Buffer.from(outputOf(one)?.base64 ?? '', 'base64')));
  expect(digests).toEqual(each.map(digestOf));
});

test('a large result is whole in a stream, beside an error in the same answer, and asked for twice', async () => {
  const service = await start({ servers: started.embedded });
  const bytes = randomBytes(MIB);
  const text = bytes.toString('base64');
  const { submitPrediction: task } = await service.client.get<{ submitPrediction: Submitted }>(SUBMIT, {
    input: bytesInput(bytes),
  });
  const { id } = task;
  const prediction = 'prediction { ... on TensorsPrediction { outputs { base64 again: base64 } } }';
  const expected = { prediction: { outputs: [{ base64: text, again: text }] } };
  const query = `subscription ($id: ID!) { taskCompleted(id: $id) { ${prediction} } }`;
  for (const _ of [1, 2]) expect(await service.client.collect('taskCompleted', query, { id })).toEqual([expected]);
  // One more id than an operation may name.
  const ids = Array.from({ length: 999 }, () => id.replace(/.$/, 'x'));
  const answer = await service.client.ask(
    `query ($id: ID!, $ids: [ID!]!) { result(id: $id) { ${prediction} } results(ids: $ids) { id } one: result(id: $id) { id } }`,
    { id, ids },
  );
  expect(answer.data).toMatchObject({ result: expected, one: null });
  expect(answer.errors).toMatchObject([{ extensions: { code: 'INVALID_INPUT' } }]);
});

test.each(PAIRS)('what is larger than a task may have is refused, with its path (%s)', async (pair) => {
  const service = await start({ servers: started[pair], bodyLimitBytes: 128 * MIB });
  const { errors } = await service.client.ask(SUBMIT, { input: bytesInput(Buffer.alloc(64 * MIB + 1)) });
  const issues = [{ path: ['input'], message: 'expected at most 67108864 bytes of inputs, got 67108865' }];
  expect(errors).toMatchObject([{ extensions: { code: 'INVALID_INPUT', issues } }]);
});

test.each(PAIRS)(
  'a task keeps its first inputs whatever is submitted by its key, until it is cancelled (%s)',
  async (pair) => {
    const service = await start({ servers: started[pair] });
    await service.worker?.close();
    const options = { idempotencyKey: 'large' };
    const submit = async (bytes: Buffer) => {
      const input = bytesInput(bytes);
      return (await service.client.get<{ submitPrediction: Submitted }>(SUBMIT, { input, options })).submitPrediction
        .id;
    };
    const first = randomBytes(2 * MIB);
    const ids = [await submit(first), await submit(randomBytes(3 * MIB))];
    const [id = ''] = ids;
    expect(ids).toEqual([id, id]);
    const kept = Buffer.from((await service.payloads.get(id)) ?? []);
    expect(digestOf(kept.subarray(-first.length))).toBe(digestOf(first));
    expect(await service.waiting('bytes')).toBe(1);
    await service.client.get('mutation ($id: ID!) { cancelTask(id: $id) { state } }', { id });
    expect(await service.payloads.get(id)).toBeUndefined();
  },
);

test('a large task that is queued when Redis loses everything ends, and its client is told why', async () => {
  const redis = await startRedis();
  onTestFinished(() => redis.close());
  const dir = await models();
  const service = await start({ servers: { brokerUrl: 'memory:', storeUrl: redis.url }, modelsDir: dir });
  await service.worker?.close();
  const submit = async (bytes: number) => {
    const input = bytesInput(randomBytes(bytes));
    return (await service.client.get<{ submitPrediction: Submitted }>(SUBMIT, { input })).submitPrediction;
  };
  const [small, large] = [await submit(100), await submit(2 * MIB)];
  const connected = Promise.withResolvers<void>();
  const query = 'subscription ($ids: [ID!]!) { tasksCompleted(ids: $ids) { id state error { code message } } }';
  const told = (async () => {
    const ids = [small.id, large.id];
    const events = [];
    for await (const event of service.client.stream<{ id: string }>(
      'tasksCompleted',
      query,
      { ids },
      { connected: connected.resolve },
    )) {
      events.push(event);
    }
    return events;
  })();
  await connected.promise;
  expect(await redis.cli('FLUSHALL')).toBe('OK');

  const config = { ...readConfig('start', { WORKER_SLOTS: '1' }), modelsDir: dir };
  const worker = await openWorker(config, service, createLog('silent', 'test'));
  onTestFinished(() => worker.close());
  const events = (await told).toSorted((a) => (a.id === small.id ? -1 : 1));
  expect(events).toMatchObject([
    { id: small.id, state: 'SUCCEEDED', error: null },
    { id: large.id, state: 'FAILED', error: { code: 'INPUTS_LOST', message: expect.stringContaining('submit again') } },
  ]);
});

const started = { embedded: useServers('embedded'), 'RabbitMQ and Redis': useServers('RabbitMQ and Redis') };
