import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { fingerprintOf, type ServedModel } from '../../src/models/served-model.ts';
import type { Submission } from '../../src/task/task.ts';
import { bytesOf, type Datatype, type NumericArray, STORAGE, type Tensor } from '../../src/tensor/tensor.ts';
import { elementsOf } from '../../src/tensor/tensor-values.ts';
import type { GraphQLAnswer } from '../support/client.ts';
import { servedModel, spec } from '../support/models.ts';
import { openService, PAIRS, type Service, useServers } from '../support/service.ts';

/** What is plain is answered directly, and all else by Yoga; an address with a `?` is not plain. */
const WAYS = ['', '?'];

const OUTPUTS = (fields: string) => `prediction { ... on TensorsPrediction { outputs { ${fields} } } }`;
const RESULT = (fields: string) => `query ($id: ID!) { result(id: $id) { id ${OUTPUTS(fields)} } }`;
const SUBMIT = 'mutation ($input: PredictionInput!) { submitPrediction(input: $input) { id } }';
const LONG_ID = 'A'.repeat(5_400_000);

/** Numbers in rows, numbers that have labels, and rows that have names. */
const GRID = servedModel(
  'grid',
  {
    inputs: [spec('x', 'FP32', [null, 1])],
    outputs: [
      spec('grid', 'FP32', [null, 60, 7]),
      spec('classes', 'INT64', [null, 300]),
      spec('boxes', 'FP32', [null, 40, 2]),
    ],
    batched: true,
  },
  { names: { inputs: {}, outputs: { classes: { labels: ['off', 'on"'] }, boxes: { fields: ['x', 'y'] } } } },
);

const referenceTo = (to: ServedModel) => ({ name: to.name, version: to.version, fingerprint: fingerprintOf(to) });

type Outputs = { result: { prediction: { outputs: Record<string, unknown>[] } } };

describe.each(PAIRS)('on %s', (pair) => {
  const servers = useServers(pair);
  let service: Service;
  beforeAll(async () => {
    service = await openService({ servers, withWorker: false });
    await vi.waitFor(() => expect(service.store.isReady()).toBe(true), { timeout: 20_000 });
  });
  afterAll(() => service.close());

  async function post(way: string, body: string, accept = 'application/json') {
    const headers = { 'content-type': 'application/json', accept };
    const response = await fetch(service.client.url + way, { method: 'POST', headers, body });
    return { status: response.status, text: await response.text() };
  }

  async function ask<T>(way: string, query: string, variables: Record<string, unknown> = {}) {
    const { text } = await post(way, JSON.stringify({ query, variables }));
    return JSON.parse(text) as GraphQLAnswer<T>;
  }

  /** A task that succeeded with these outputs. */
  async function finished(outputs: Tensor[] = [], more: Partial<Submission> = {}): Promise<string> {
    const model = { name: 'm', version: '1', fingerprint: 'f' };
    const [id, submittedAt] = [randomUUID(), Date.now()];
    const submission: Submission = { id, owner: 'anonymous', model, door: 'tensors', submittedAt, ...more };
    const result = { outputs, runMs: 1, batchSize: 1 };
    await service.store.transition(id, { to: 'SUCCEEDED', at: submittedAt, submission, result });
    return id;
  }

  // Both ways are the same code on both pairs; the second costs as much time again.
  describe.each(pair === 'embedded' ? WAYS : [''])('asked with /graphql%s', (way) => {
    test('an id that is no UUID is unknown, however long it is', async () => {
      const own = await finished();
      const many = `query ($a: ID!, $b: ID!) { results(ids: [$b ${'$a '.repeat(100)}]) { id } result(id: $a) { id } }`;
      const { data } = await ask(way, many, { a: LONG_ID, b: own });
      expect(data).toEqual({ result: null, results: [{ id: own }, ...Array<null>(100).fill(null)] });
      const { errors } = await ask(way, 'mutation ($id: ID!) { cancelTask(id: $id) { id } }', { id: LONG_ID });
      expect(errors).toMatchObject([{ extensions: { code: 'UNKNOWN_TASK' } }]);
      expect(errors?.[0]?.message.length).toBeLessThan(100);
    });

    test.each([
      ['taskCompleted(id: $id)', 'ID!', LONG_ID],
      ['taskUpdated(id: $id)', 'ID!', LONG_ID],
      ['tasksCompleted(ids: $id)', '[ID!]!', [LONG_ID, 'x']],
    ])('a subscription to %s of such an id is refused', async (field, type, id) => {
      const query = `subscription ($id: ${type}) { ${field} { id } }`;
      const { text } = await post(way, JSON.stringify({ query, variables: { id } }), 'text/event-stream');
      expect(text).toContain('"code":"UNKNOWN_TASK"');
      expect(text.length).toBeLessThan(1_000);
    });

    test('a large tensor is the same in every form, alone and in lists', async () => {
      const kinds: [Exclude<Datatype, 'STRING'>, NumericArray, string][] = [
        ['FP32', Float32Array.from({ length: 50_001 }, (_, i) => (i - 9) / 7), 'floats'],
        ['FP64', Float64Array.from([-0, 1e300, 5e-324, ...Array<number>(300).fill(0.1)]), 'floats'],
        ['INT32', Int32Array.from({ length: 20_000 }, (_, i) => i * 100_003), 'ints'],
        ['INT64', BigInt64Array.from({ length: 300 }, (_, i) => BigInt(i) << 54n), 'longs'],
        ['BOOL', Uint8Array.from({ length: 70_000 }, (_, i) => i % 2), 'booleans'],
      ];
      const texts = Array.from({ length: 2_000 }, (_, i) => `${i} "\n\u2028é\\`);
      const tensors: Tensor[] = [
        ...kinds.map(([datatype, array]) => ({
          name: datatype,
          datatype,
          shape: [array.length],
          data: bytesOf(array),
        })),
        { name: 'STRING', datatype: 'STRING', shape: [texts.length], data: texts },
      ];
      const id = await finished(tensors);
      const all = ['floats', 'ints', 'longs', 'booleans', 'strings', 'again: floats', 'base64'].join(' ');
      const { data } = await ask<Outputs>(way, RESULT(`name ${all}`), { id });
      for (const [i, tensor] of tensors.entries()) {
        const output = data?.result.prediction.outputs[i] ?? {};
        const form = { float: 'floats', int: 'ints', long: 'longs', boolean: 'booleans', string: 'strings' }[
          STORAGE[tensor.datatype].kind
        ];
        // JSON has no -0.
        const elements = elementsOf(tensor).map((element) => (element === 0 ? 0 : element));
        expect(output[form], tensor.name).toEqual(elements);
        if (form === 'floats') expect(output['again']).toEqual(elements);
        if (!Array.isArray(tensor.data)) expect(output['base64']).toBe(Buffer.from(tensor.data).toString('base64'));
      }
      const stream = await post(
        way,
        JSON.stringify({ query: RESULT(`name ${all}`), variables: { id } }),
        'text/event-stream',
      );
      const [, event = ''] = /\ndata: ([^\n]*)\n/.exec(stream.text) ?? [];
      expect(JSON.parse(event)).toEqual({ data });
      const holed = Float32Array.from({ length: 1_000 }, (_, i) => (i === 999 ? Number.NaN : i));
      const hole = await finished([{ name: 'x', datatype: 'FP32', shape: [1_000], data: bytesOf(holed) }]);
      const answer = await ask<Outputs>(way, RESULT('floats'), { id: hole });
      expect(answer).toEqual({ data: { result: { id: hole, prediction: { outputs: [{ floats: null }] } } } });
    });

    test('a large typed prediction is the same as one that GraphQL completes', async () => {
      await service.registry.register([GRID]);
      const floats = Float32Array.from({ length: 60 * 7 }, (_, i) => i / 3);
      const classes = BigInt64Array.from({ length: 300 }, (_, i) => BigInt(i % 2));
      const boxes = Float32Array.from({ length: 40 * 2 }, (_, i) => i);
      const of = (name: string, datatype: Datatype, shape: number[], array: NumericArray): Tensor => ({
        ...{ name, datatype, shape: [1, ...shape], data: bytesOf(array) },
      });
      const outputs = [
        of('grid', 'FP32', [60, 7], floats),
        of('classes', 'INT64', [300], classes),
        of('boxes', 'FP32', [40, 2], boxes),
      ];
      const id = await finished(outputs, { door: 'typed', model: referenceTo(GRID) });
      const query = `query ($id: ID!) { result(id: $id) { prediction { ... on GridPrediction { grid classes boxes { x again: x y } } } } }`;
      await vi.waitFor(async () => {
        const { data } = await ask<{ result: { prediction: Record<string, unknown> } }>(way, query, { id });
        expect(data?.result.prediction).toEqual({
          grid: Array.from({ length: 60 }, (_, i) => [...floats.subarray(i * 7, i * 7 + 7)]),
          classes: Array.from(classes, (one) => (one ? 'on"' : 'off')),
          boxes: Array.from({ length: 40 }, (_, i) => ({ x: 2 * i, again: 2 * i, y: 2 * i + 1 })),
        });
      });
    });

    test('an answer is bounded by what it writes, aliases included', async () => {
      const array = new Float32Array(2_000_000);
      const id = await finished([{ name: 'x', datatype: 'FP32', shape: [array.length], data: bytesOf(array) }]);
      const aliases = Array.from({ length: 30 }, (_, i) => `a${i}: floats`).join(' ');
      const { data, errors } = await ask<Outputs>(way, RESULT(`name ${aliases}`), { id });
      expect(errors).toHaveLength(1);
      expect(errors?.[0]).toMatchObject({ path: ['result', 'prediction', 'outputs', 0, 'a10'] });
      expect(errors?.[0]?.extensions).toMatchObject({ code: 'INVALID_INPUT' });
      expect(data?.result.prediction.outputs[0]).toMatchObject({ name: 'x', a10: null, a29: null });
      const ids = Array(1_000).fill(id);
      const small = await finished([
        { name: 'x', datatype: 'FP32', shape: [200], data: bytesOf(array.subarray(0, 200)) },
      ]);
      const many = `query ($ids: [ID!]!) { results(ids: $ids) { ${OUTPUTS(aliases)} } }`;
      const answered = await ask(way, many, { ids: ids.fill(small) });
      expect(answered.errors).toHaveLength(1);
      expect(answered.errors?.[0]?.message).toMatch(/at most 1000000 values/);
    });

    test('an event of a stream is written the same way', async () => {
      const array = Float32Array.from({ length: 100_000 }, (_, i) => i / 8);
      const id = await finished([{ name: 'x', datatype: 'FP32', shape: [array.length], data: bytesOf(array) }]);
      const query = `subscription ($id: ID!) { taskCompleted(id: $id) { ${OUTPUTS('floats')} } }`;
      const body = JSON.stringify({ query, variables: { id, junk: Array(10_000).fill({}) } });
      const { text } = await post(way, body, 'text/event-stream');
      const events = [...text.matchAll(/^data: (.+)$/gm)].map(([, json]) => JSON.parse(json ?? ''));
      const outputs = [{ floats: [...array] }];
      expect(events).toEqual([{ data: { taskCompleted: { prediction: { outputs } } } }]);
    });
  });

  // Refused before any store is asked: one pair is enough.
  describe.each(pair === 'embedded' ? WAYS : [])('refused with /graphql%s', (way) => {
    test('what a request takes once it is parsed is bounded before it is', async () => {
      const query = JSON.stringify('{ __typename }');
      const objects = await post(way, `{"query":${query},"variables":{"a":[${'{},'.repeat(3_000_000)}{}]}}`);
      expect(objects).toMatchObject({ status: 413, text: expect.stringContaining('bytes of memory') });
      const deep = `${'['.repeat(100_000)}${']'.repeat(100_000)}`;
      const lists = await post(way, `{"query":${query},"variables":{"a":${deep}}}`);
      expect(lists).toMatchObject({ status: 400, text: expect.stringContaining('500 levels') });
      const keys = Array.from({ length: 80_000 }, (_, i) => `"k${i}":1`).join(',');
      const wide = await post(way, `{"query":${JSON.stringify(SUBMIT)},"variables":{"input":{${keys}}}}`);
      expect(wide).toMatchObject({ status: 400, text: expect.stringContaining('10000 keys') });
      const long = await post(way, JSON.stringify({ query: '{ __typename }', ['x'.repeat(100_000)]: 1 }));
      expect(long.text.length).toBeLessThan(2_000);
    });

    test('one variable that stands for a hundred inputs counts a hundred times', async () => {
      await service.registry.register([GRID]);
      const inputs = '{ tensors: $input } '.repeat(100);
      const many = `mutation ($input: TensorsInput!) { submitPredictions(inputs: [${inputs}]) { id } }`;
      const data = { base64: Buffer.alloc(4 * 500_000).toString('base64') };
      const input = { model: 'grid', inputs: [{ name: 'x', datatype: 'FP32', shape: [500_000, 1], data }] };
      const { errors } = await ask(way, many, { input });
      expect(errors).toMatchObject([{ extensions: { code: 'INVALID_INPUT', issues: [{ path: ['inputs', 67] }] } }]);
    });

    test('faults are named up to a fixed number, and that there are more', async () => {
      const keys = Object.fromEntries(Array.from({ length: 9_000 }, (_, i) => [`k${i}`, 1]));
      const tensors = (data: unknown) => ({
        tensors: { model: 'm', inputs: [{ name: 'x', datatype: 'FP32', shape: [1], data }] },
      });
      const inputs = [
        keys,
        tensors({ floats: Array(1_000_000).fill('x') }),
        tensors({ floats: Array(300).fill(keys) }),
      ];
      for (const input of inputs) {
        const { errors } = await ask(way, SUBMIT, { input });
        expect(errors).toMatchObject([{ extensions: { code: 'INVALID_INPUT' } }]);
        expect(errors?.[0]?.extensions.issues).toHaveLength(20);
        expect(errors?.[0]?.message).toMatch(/and more: only the first 20 errors are listed$/);
      }
      const { errors = [] } = await ask(way, `{ ${Array.from({ length: 500 }, (_, i) => `field${i}`).join(' ')} }`);
      expect(errors).toHaveLength(21);
      expect(errors.at(-1)?.message).toMatch(/Too many validation errors/);
    });

    test('a document that takes long to validate is refused', async () => {
      const repeated = await ask(way, `{ ${'models { name } '.repeat(400)} }`);
      expect(repeated.errors?.[0]?.message).toMatch(/more than 20 selections of models/);
      const lists = `fields { type { fields { name } } } `;
      const schema = await ask(
        way,
        `{ __schema { types { ${Array.from({ length: 15 }, (_, i) => `a${i}: ${lists}`).join(' ')} } } }`,
      );
      expect(schema.errors?.[0]?.message).toMatch(/more than 20 lists of the schema/);
    });
  });
});
