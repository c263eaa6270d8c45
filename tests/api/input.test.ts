import { expect, test } from 'vitest';
import { describeService } from '../support/describe-service.ts';
import { FLOWER, IRIS, servedModel, spec } from '../support/models.ts';

const { petalWidthCm: _, ...THREE } = FLOWER;
const features = { name: 'features', datatype: 'FP32', shape: [1, 4], data: { floats: [1, 2, 3, 4] } };
const tensors = (...inputs: object[]) => ({ tensors: { model: 'iris', inputs } });

/** What is wrong, the input, and the path of each fault. */
const WRONG: [string, unknown, string[]][] = [
  ['a missing field', { iris: THREE }, ['input.iris.petalWidthCm']],
  ['an unknown field', { iris: { ...FLOWER, colour: 1 } }, ['input.iris.colour']],
  ['a string for a number', { iris: { ...FLOWER, petalWidthCm: '1' } }, ['input.iris.petalWidthCm']],
  ['null for a number', { iris: { ...FLOWER, petalWidthCm: null } }, ['input.iris.petalWidthCm']],
  ['a number that FP32 cannot hold', { iris: { ...FLOWER, petalWidthCm: 1e39 } }, ['input.iris.petalWidthCm']],
  ['a model that is not there', { rose: {} }, ['input.rose']],
  ['two models at once', { iris: FLOWER, tensors: tensors(features).tensors }, ['input']],
  ['no model', {}, ['input']],
  ['a list for an object', { iris: [1, 2, 3, 4] }, ['input.iris']],
  ['rows of a wrong length', { grid: { x: [[1, 2], [3]] } }, ['input.grid.x.1']],
  ['too few rows', { grid: { x: [[1, 2]] } }, ['input.grid.x']],
  [
    'a wrong type deep inside',
    {
      grid: {
        x: [
          [1, 2],
          [3, 'four'],
        ],
      },
    },
    ['input.grid.x.1.1'],
  ],
  ['an unknown input', tensors(features, { ...features, name: 'x' }), ['input.tensors.inputs.1.name']],
  ['a missing input', tensors(), ['input.tensors.inputs']],
  ['a wrong shape', tensors({ ...features, shape: [4] }), ['input.tensors.inputs.0.shape']],
  ['a wrong datatype', tensors({ ...features, datatype: 'FP64' }), ['input.tensors.inputs.0.datatype']],
  ['a datatype that does not exist', tensors({ ...features, datatype: 'FP8' }), ['input.tensors.inputs.0.datatype']],
  ['a wrong element count', tensors({ ...features, data: { floats: [1] } }), ['input.tensors.inputs.0.data.floats']],
  ['a size that is larger than it may be', { words: { ids: [1, 2, 3, 4] } }, ['input.words']],
  [
    'the same by tensors',
    {
      tensors: {
        model: 'words',
        inputs: [{ name: 'ids', datatype: 'INT64', shape: [1, 4], data: { ints: [1, 2, 3, 4] } }],
      },
    },
    ['input.tensors.inputs'],
  ],
  ['two kinds of data', tensors({ ...features, data: { floats: [1], ints: [1] } }), ['input.tensors.inputs.0.data']],
];

const GRID = servedModel('grid', {
  inputs: [spec('x', 'FP32', [null, 2, 2])],
  outputs: [spec('y', 'FP32', [null])],
  batched: true,
});
const WORDS = servedModel('words', {
  inputs: [spec('ids', 'INT64', [null, null])],
  outputs: [spec('y', 'FP32', [null])],
  batched: true,
  maxSizes: [{ input: 'ids', dimension: 1, symbol: 'sequence', max: 3 }],
});
const IRIS_OF_OLD = servedModel(
  'iris',
  { inputs: [spec('features', 'FP32', [null, 2])], outputs: [spec('label', 'INT64', [null])], batched: true },
  { version: '0', names: { inputs: { features: { fields: ['length', 'width'] } }, outputs: {} } },
);

const SUBMIT =
  'mutation ($input: PredictionInput!, $options: SubmitOptions) { submitPrediction(input: $input, options: $options) { id } }';
const SUBMIT_ALL = 'mutation ($inputs: [PredictionInput!]!) { submitPredictions(inputs: $inputs) { id } }';

describeService('wrong input', { withWorker: false }, (service) => {
  const register = () => service().registry.register([IRIS, IRIS_OF_OLD, GRID, WORDS]);
  const queued = () => Promise.all(['iris', 'grid'].map((model) => service().waiting(model)));

  test.each(WRONG)('%s is refused with the path of the fault, and nothing is queued', async (_what, input, paths) => {
    await register();
    const { data, errors } = await service().client.ask(SUBMIT, { input });
    expect(data ?? null).toBeNull();
    expect(errors).toHaveLength(1);
    expect(errors?.[0]?.extensions.code).toBe('INVALID_INPUT');
    expect(errors?.[0]?.extensions.issues?.map(({ path }) => path.join('.'))).toEqual(paths);
    for (const { message } of errors?.[0]?.extensions.issues ?? []) expect(message).not.toBe('');
    expect(await queued()).toEqual([0, 0]);
  });

  test('one wrong input among many queues none of them', async () => {
    await register();
    const { errors } = await service().client.ask(SUBMIT_ALL, {
      inputs: [{ iris: FLOWER }, { grid: { x: [[1, 2]] } }, { iris: { ...FLOWER, petalWidthCm: 1e39 } }],
    });
    expect(errors?.[0]?.extensions.issues?.map(({ path }) => path)).toEqual([
      ['inputs', 1, 'grid', 'x'],
      ['inputs', 2, 'iris', 'petalWidthCm'],
    ]);
    expect(await queued()).toEqual([0, 0]);
  });

  test('variables that stand inside a literal are named from the argument down', async () => {
    await register();
    const query =
      'mutation ($cm: Float!) { submitPredictions(inputs: [{ iris: { sepalLengthCm: 1, sepalWidthCm: 1, petalLengthCm: 1, petalWidthCm: $cm } }]) { id } }';
    const { errors } = await service().client.ask(query, { cm: 'wide' });
    expect(errors?.[0]?.extensions.issues?.[0]?.path).toEqual(['inputs', 0, 'iris', 'petalWidthCm']);
    const missing = await service().client.ask(SUBMIT, {});
    expect(missing.errors?.[0]?.extensions).toMatchObject({ code: 'INVALID_INPUT', issues: [{ path: ['input'] }] });
    const ids = await service().client.ask('query ($ids: [ID!]!) { results(ids: $ids) { id } }', { ids: [{}] });
    expect(ids.errors?.[0]?.extensions).toMatchObject({ code: 'INVALID_INPUT', issues: [{ path: ['ids', 0] }] });
  });

  test('a long value of a wrong type is not sent back in full', async () => {
    await register();
    const { errors } = await service().client.ask(SUBMIT, {
      input: { iris: { ...FLOWER, petalWidthCm: 'x'.repeat(100_000) } },
    });
    expect(errors?.[0]?.extensions.issues?.[0]?.path).toEqual(['input', 'iris', 'petalWidthCm']);
    expect(JSON.stringify(errors).length).toBeLessThan(1_000);
  });

  test('a variable that may be null where the argument may not is named by its argument', async () => {
    await register();
    for (const [query, variables, argument] of [
      ['query ($id: ID = "x") { result(id: $id) { id } }', { id: null }, 'id'],
      ['mutation ($i: IrisInput) { submitPrediction(input: { iris: $i }) { id } }', {}, 'input'],
    ] as const) {
      const { errors } = await service().client.ask(query, variables);
      expect(errors).toMatchObject([{ extensions: { code: 'INVALID_INPUT', issues: [{ path: [argument] }] } }]);
    }
  });

  test('a literal that does not fit is refused when the operation is validated', async () => {
    await register();
    const { errors } = await service().client.ask(
      'mutation { submitPrediction(input: { iris: { sepalLengthCm: "a" } }) { id } }',
    );
    expect(errors?.length).toBeGreaterThan(0);
    for (const { extensions } of errors ?? []) expect(extensions.code).toBe('GRAPHQL_VALIDATION_FAILED');
  });

  test.each([
    ['a model', tensors(features), undefined, { ...tensors(features).tensors, model: 'rose' }, 'input.tensors.model'],
    ['a version', tensors(features), '7', undefined, 'options.version'],
  ])('%s that nobody registered is UNKNOWN_MODEL', async (_what, input, version, replaced, path) => {
    await register();
    const { errors } = await service().client.ask(SUBMIT, {
      input: replaced ? { tensors: replaced } : input,
      options: version ? { version } : {},
    });
    expect(errors?.[0]?.extensions.code).toBe('UNKNOWN_MODEL');
    expect(errors?.[0]?.extensions.issues?.map((issue) => issue.path.join('.'))).toEqual([path]);
  });

  test('a typed input that does not fit the pinned version is refused; the tensors of that version fit', async () => {
    await register();
    const { client } = service();
    const { errors } = await client.ask(SUBMIT, { input: { iris: FLOWER }, options: { version: '0' } });
    expect(errors?.[0]?.extensions.code).toBe('INVALID_INPUT');
    const old = tensors({ ...features, shape: [1, 2], data: { floats: [1, 2] } });
    expect((await client.ask(SUBMIT, { input: old, options: { version: '0' } })).errors).toBeUndefined();
  });

  test('options and lists have their bounds', async () => {
    await register();
    const { client } = service();
    for (const waitMs of [-1, 30_001]) {
      const { errors } = await client.ask(SUBMIT, { input: { iris: FLOWER }, options: { waitMs } });
      expect(errors?.[0]?.extensions).toMatchObject({
        code: 'INVALID_INPUT',
        issues: [{ path: ['options', 'waitMs'] }],
      });
    }
    const ids = Array.from({ length: 1_001 }, (_, i) => `${i}`);
    const results = await client.ask('query ($ids: [ID!]!) { results(ids: $ids) { id } }', { ids });
    expect(results.errors?.[0]?.extensions).toMatchObject({ code: 'INVALID_INPUT', issues: [{ path: ['ids'] }] });
    const many = await client.ask(SUBMIT_ALL, { inputs: ids.map(() => ({ iris: FLOWER })) });
    expect(many.errors?.[0]?.extensions).toMatchObject({ code: 'INVALID_INPUT', issues: [{ path: ['inputs'] }] });
  });
});
