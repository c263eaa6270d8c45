import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { freePort } from './support/free-port.ts';
import { modelsDir } from './support/models-dir.ts';
import { identity, slow, unary } from './support/onnx-models.ts';
import { type Ended, runForetell } from './support/processes.ts';
import { startProxy } from './support/proxy.ts';
import { openService, type Service, startService } from './support/service.ts';
import { temporaryDirectory } from './support/temporary-directory.ts';

const FLOWER = { sepalLengthCm: 5.1, sepalWidthCm: 3.5, petalLengthCm: 1.4, petalWidthCm: 0.2 };
const IRIS = JSON.stringify({ iris: FLOWER });
/** Runs for hours. */
const SLOW = '{"slow":{"rounds":"20000000000"}}';
const EMBEDDED = { brokerUrl: 'memory:', storeUrl: 'memory:' };
const KEY = 'k'.repeat(24);

let service: Service;
beforeAll(async () => {
  service = await openService({ servers: EMBEDDED });
});
afterAll(() => service.close());

function run(args: string[], input?: string, url = service.client.url): Promise<Ended> {
  return runForetell(args, { FORETELL_URL: url }, input === undefined ? {} : { input });
}

/** The lines of JSON that a command printed. */
function tasksIn({ stdout }: Ended): Record<string, unknown>[] {
  return stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));
}

describe('foretell submit', () => {
  test('takes INPUT from its argument, from a file or from standard input, and --wait prints the prediction', async () => {
    const file = join(await temporaryDirectory(), 'input.json');
    await writeFile(file, IRIS);
    const runs = await Promise.all([
      run(['submit', '--wait', IRIS]),
      run(['submit', '--wait', '--file', file]),
      run(['submit', '--wait'], IRIS),
    ]);
    for (const ended of runs) {
      expect(ended).toMatchObject({ code: 0, stderr: '' });
      expect(tasksIn(ended)).toEqual([
        expect.objectContaining({
          state: 'SUCCEEDED',
          model: { name: 'iris', version: '1' },
          prediction: {
            __typename: 'IrisPrediction',
            label: 'setosa',
            probabilities: {
              setosa: expect.any(Number),
              versicolor: expect.any(Number),
              virginica: expect.any(Number),
            },
          },
        }),
      ]);
    }
  });

  test('without --wait prints the task, which foretell watch sees to its end', async () => {
    const ended = await run(['submit', IRIS]);
    expect(ended).toMatchObject({ code: 0, stderr: '' });
    const [task] = tasksIn(ended);
    const watched = await run(['watch', String(task?.['id'])]);
    expect(watched).toMatchObject({ code: 0, stderr: '' });
    expect(tasksIn(watched).at(-1)).toMatchObject({
      id: task?.['id'],
      state: 'SUCCEEDED',
      prediction: { label: 'setosa' },
    });
  });

  test('--tensors takes what the tensors API takes, and shows a tensor by its elements', async () => {
    const input = {
      model: 'iris',
      inputs: [{ name: 'features', datatype: 'FP32', shape: [1, 4], data: { floats: Object.values(FLOWER) } }],
    };
    const ended = await run(['submit', '--wait', '--tensors', JSON.stringify(input)]);
    expect(tasksIn(ended)).toEqual([
      expect.objectContaining({
        prediction: {
          __typename: 'TensorsPrediction',
          outputs: [
            { name: 'label', datatype: 'INT64', shape: [1], longs: ['0'] },
            { name: 'probabilities', datatype: 'FP32', shape: [1, 3], floats: expect.any(Array) },
          ],
        },
      }),
    ]);
  });

  test('--fields says what of the prediction is wanted, and the options of a submission are its options', async () => {
    const key = `order-${crypto.randomUUID()}`;
    const options = [
      '--priority',
      'HIGH',
      '--model-version',
      '1',
      '--expires-in-ms',
      '60000',
      '--idempotency-key',
      key,
    ];
    const [one] = tasksIn(await run(['submit', '--wait', '--fields', 'label', ...options, IRIS]));
    expect(one).toMatchObject({ prediction: { label: 'setosa' } });
    expect(one?.['prediction']).not.toHaveProperty('probabilities');
    const [again] = tasksIn(await run(['submit', ...options, IRIS]));
    expect(again?.['id']).toBe(one?.['id']);
  });

  test.concurrent.each<[string[], number, string]>([
    [['submit', '{'], 2, 'INPUT: expected JSON'],
    [['submit', 'flower.json'], 2, 'got "flower.json"; to read it from a file: --file flower.json'],
    [
      ['submit', 'iris', 'flower.json'],
      2,
      'expected one argument, [INPUT]; to read it from a file: --file flower.json',
    ],
    [['submit'], 2, 'standard input: expected JSON'],
    [['submit', '--file', '/nowhere/x.json'], 2, '/nowhere/x.json'],
    [['submit', '--file', 'package.json', '{}'], 2, 'expected INPUT or --file, got both'],
    [['submit', '--expires-in-ms', 'soon', IRIS], 2, '--expires-in-ms: expected a whole number, got "soon"'],
    [['submit', '--url', 'ftp://host', IRIS], 2, '--url: expected an address'],
    [['watch'], 2, 'expected ID'],
    [['submit', '{"iris":{"sepalLengthCm":1}}'], 1, 'INVALID_INPUT: input.iris.'],
    [['submit', '--priority', 'LOW', IRIS], 1, 'options.priority'],
    [['submit', '--model-version', '7', IRIS], 1, 'UNKNOWN_MODEL'],
    [['watch', 'nobody'], 1, 'UNKNOWN_TASK'],
  ])('foretell %j ends with %i, and one line says %s', async (args, code, line) => {
    const ended = await run(args);
    expect({ code: ended.code, stdout: ended.stdout }).toEqual({ code, stdout: '' });
    expect(ended.stderr).toMatch(/^foretell: [^\n]+\n$/);
    expect(ended.stderr).toContain(line);
  });

  test('where nothing listens, or something else, one line says so', async () => {
    const nobody = `http://127.0.0.1:${await freePort()}`;
    for (const args of [
      ['submit', IRIS],
      ['watch', 'x'],
    ]) {
      const { code, stderr } = await run(args, undefined, nobody);
      expect(code).toBe(1);
      expect(stderr).toMatch(/^foretell: nothing answers at [^\n]+ECONNREFUSED[^\n]+\n$/);
      const other = await run(args, undefined, service.client.url.replace('graphql', 'healthz'));
      expect(other.stderr).toMatch(/^foretell: [^\n]+not as Foretell does; check the URL\n$/);
    }
  });
});

test('a key is asked for, taken from --key or FORETELL_KEY; where introspection is off, --fields names the fields', async () => {
  const guarded = await startService({ servers: EMBEDDED, keys: `ann:${KEY}`, introspection: false });
  const { url } = guarded.client;
  const without = await run(['submit', IRIS], undefined, url);
  expect(without).toMatchObject({ code: 1, stderr: expect.stringContaining('UNAUTHENTICATED') });
  const plain = await run(['submit', '--wait', '--key', KEY, IRIS], undefined, url);
  expect(plain).toMatchObject({ code: 0, stderr: expect.stringContaining('--fields') });
  expect(tasksIn(plain)[0]).toMatchObject({ state: 'SUCCEEDED', prediction: { __typename: 'IrisPrediction' } });
  const settings = { FORETELL_URL: url, FORETELL_KEY: KEY };
  const named = await runForetell(['submit', '--wait', '--fields', 'label', IRIS], settings);
  expect(named).toMatchObject({ code: 0, stderr: '' });
  expect(tasksIn(named)[0]).toMatchObject({ prediction: { label: 'setosa' } });
});

describe('foretell watch', () => {
  test('ends with an exit code for each outcome', async () => {
    const models = await modelsDir({ log: { onnx: unary('Log', 'FP32') }, echo: { onnx: identity('FP32') } });
    const own = await startService({ servers: EMBEDDED, modelsDir: models, withWorker: true });
    const failed = await run(['submit', '--wait', '{"log":{"x":[-1,0,1,2]}}'], undefined, own.client.url);
    expect(failed).toMatchObject({ code: 3, stderr: '' });
    expect(tasksIn(failed)[0]).toMatchObject({ state: 'FAILED', error: { code: 'INVALID_OUTPUT' } });
    const [task] = tasksIn(await run(['submit', '{"echo":{"x":[1,2,3,4]}}'], undefined, own.client.url));
    expect(await run(['watch', String(task?.['id'])], undefined, own.client.url)).toMatchObject({ code: 0 });
  });

  test('prints each state once', async () => {
    const own = await startService({ servers: EMBEDDED, modelsDir: await modelsDir({ slow: { onnx: slow() } }) });
    const id = await submitSlow(own);
    const watching = run(['watch', id], undefined, own.client.url);
    await subscribed(own);
    await cancel(own, id);
    const ended = await watching;
    expect(ended).toMatchObject({ code: 4, stderr: '' });
    const states = tasksIn(ended).map(({ state }) => state);
    expect(states.at(-1)).toBe('CANCELLED');
    expect(new Set(states).size).toBe(states.length);
  });
});

test('a command that waits comes back when its connection is cut, and sees the end', async () => {
  const own = await startService({ servers: EMBEDDED, modelsDir: await modelsDir({ slow: { onnx: slow() } }) });
  const proxy = await startProxy(Number(new URL(own.client.url).port));
  onTestFinished(() => proxy.close());
  const key = ['--idempotency-key', 'cut'];
  const waiting = run(['submit', '--wait', ...key, SLOW], undefined, `http://127.0.0.1:${proxy.port}`);
  await subscribed(own);
  proxy.cut();
  await cancel(own, await submitSlow(own, key));
  const ended = await waiting;
  expect(ended).toMatchObject({ code: 4, stderr: '' });
  expect(tasksIn(ended)).toEqual([expect.objectContaining({ state: 'CANCELLED' })]);
});

test('a stream that ends without complete, in one piece with its events, is opened again', async () => {
  const event = (state: string, attempts: number) =>
    `event: next\ndata: ${JSON.stringify({ data: { taskUpdated: { id: 'x', state, attempts } } })}\n\n`;
  const retried = [0, 1, 2, 3].flatMap((attempts) => [event('QUEUED', attempts), event('RUNNING', attempts + 1)]);
  const pieces = [retried.join(''), `${event('EXPIRED', 4)}event: complete\ndata:\n\n`];
  const server = createServer((_request, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' }).end(pieces.shift());
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  onTestFinished(() => void server.close());
  const { port } = server.address() as AddressInfo;
  const ended = await run(['watch', 'x'], undefined, `http://127.0.0.1:${port}`);
  expect(ended).toMatchObject({ code: 5, stderr: '' });
  expect(tasksIn(ended)).toHaveLength(9);
});

/** Waits until a command's subscription to the only task is there, beside the worker's own. */
function subscribed(own: Service): Promise<void> {
  return expect.poll(() => own.store.watching(), { timeout: 30_000 }).toBe(2);
}

async function submitSlow(own: Service, options: string[] = []): Promise<string> {
  const [task] = tasksIn(await run(['submit', ...options, SLOW], undefined, own.client.url));
  return String(task?.['id']);
}

async function cancel(own: Service, id: string): Promise<void> {
  await own.client.ask('mutation ($id: ID!) { cancelTask(id: $id) { state } }', { id });
}
