import sharp from 'sharp';
import { beforeAll, expect, test } from 'vitest';
import { describeService } from '../support/describe-service.ts';
import { servedModel, spec } from '../support/models.ts';

const outputs = [spec('y', 'FP32', [null])];
const DRAWING = servedModel(
  'drawing',
  { inputs: [spec('pixels', 'FP32', [null, 4, 4])], outputs, batched: true },
  { names: { inputs: { pixels: { image: {} } }, outputs: {} } },
);
const PAIR = servedModel(
  'pair',
  { inputs: [spec('left', 'UINT8', [3, 2, 2]), spec('words', 'STRING', [null])], outputs, batched: false },
  { names: { inputs: { left: { image: {} } }, outputs: {} } },
);

const PNG = await sharp({ create: { width: 40, height: 30, channels: 3, background: '#ff0000' } })
  .png()
  .toBuffer();
const URL = `data:image/png;base64,${PNG.toString('base64')}`;
const ROWS = Array.from({ length: 4 }, () => [0, 0, 0, 1]);
const RED = Array.from({ length: 3 }, (_, i) => [0, 1].map(() => [0, 1].map(() => (i === 0 ? 255 : 0))));

const SUBMIT = 'mutation ($input: PredictionInput!) { submitPrediction(input: $input) { id state } }';
const SUBMIT_ALL = 'mutation ($inputs: [PredictionInput!]!) { submitPredictions(inputs: $inputs) { id } }';

interface Form {
  operations?: unknown;
  map?: unknown;
  files?: Record<string, Uint8Array>;
  headers?: Record<string, string>;
}

/** A request as the multipart specification writes it. */
async function send(
  url: string,
  { operations, map, files = {}, headers = { 'graphql-require-preflight': '1' } }: Form,
) {
  const form = new FormData();
  const text = (value: unknown) => (typeof value === 'string' ? value : JSON.stringify(value));
  if (operations !== undefined) form.set('operations', text(operations));
  if (map !== undefined) form.set('map', text(map));
  for (const [name, bytes] of Object.entries(files)) form.set(name, new Blob([Uint8Array.from(bytes)]), 'picture.png');
  const response = await fetch(url, { method: 'POST', body: form, headers });
  const { data, errors } = (await response.json()) as {
    data?: { submitPrediction: { state: string } } | null;
    errors?: {
      message: string;
      extensions: { code: string; issues?: { path: (string | number)[]; message: string }[] };
    }[];
  };
  const { code, issues } = errors?.[0]?.extensions ?? {};
  return {
    status: response.status,
    data,
    code,
    message: errors?.[0]?.message,
    paths: issues?.map(({ path }) => path.join('.')),
  };
}

describeService('a picture', { withWorker: false, bodyLimitBytes: 300_000 }, (service) => {
  beforeAll(() => service().registry.register([DRAWING, PAIR]));
  const queued = () => Promise.all(['drawing', 'pair'].map((model) => service().waiting(model)));
  const upload = (form: Form) => send(service().client.url, form);
  const drawing = { query: SUBMIT, variables: { input: { drawing: { image: null } } } };
  const map = { 0: ['variables.input.drawing.image'] };

  test('is taken as a data URL or as numbers, for the model’s only tensor or for one of several', async () => {
    const [drawings = 0, pairs = 0] = await queued();
    const inputs = [{ drawing: { image: URL } }, { drawing: { pixels: ROWS } }];
    const more = [{ pair: { leftImage: URL, words: ['a'] } }, { pair: { left: RED, words: ['a'] } }];
    const { errors } = await service().client.ask(SUBMIT_ALL, { inputs: [...inputs, ...more] });
    expect(errors).toBeUndefined();
    expect(await queued()).toEqual([drawings + 2, pairs + 2]);
  });

  test('is taken as a file of a multipart request, and one file for several inputs', async () => {
    const one = await upload({ operations: drawing, map, files: { 0: PNG } });
    expect(one).toMatchObject({ status: 200, data: { submitPrediction: { state: 'QUEUED' } } });
    const several = await upload({
      operations: {
        query: SUBMIT_ALL,
        variables: { inputs: [{ drawing: { image: null } }, { drawing: { image: null } }] },
      },
      map: { a: ['variables.inputs.0.drawing.image', 'variables.inputs.1.drawing.image'] },
      files: { a: PNG },
    });
    expect(several).toMatchObject({ status: 200, code: undefined });
    for (const query of [
      'mutation ($i: Image) { submitPrediction(input: { drawing: { image: $i } }) { id } }',
      'mutation ($i: Image!) { submitPrediction(input: { drawing: { image: $i } }) { id } }',
    ]) {
      const alone = await upload({
        operations: { query, variables: { i: null } },
        map: { 0: ['variables.i'] },
        files: { 0: PNG },
      });
      expect(alone.code).toBe(query.includes('Image!') ? undefined : 'GRAPHQL_VALIDATION_FAILED');
    }
  });

  test.each<[string, unknown, string[]]>([
    ['text', { drawing: { image: 'hello' } }, ['input.drawing.image']],
    ['a number', { drawing: { image: 7 } }, ['input.drawing.image']],
    ['an address', { drawing: { image: 'https://example.org/a.png' } }, ['input.drawing.image']],
    ['no picture', { drawing: { image: 'data:image/png;base64,aGVsbG8=' } }, ['input.drawing.image']],
    ['half a picture', { drawing: { image: URL.slice(0, -60) } }, ['input.drawing.image']],
    ['neither', { drawing: {} }, ['input.drawing']],
    ['both', { drawing: { image: URL, pixels: ROWS } }, ['input.drawing']],
    ['both of one tensor among several', { pair: { left: RED, leftImage: URL, words: [] } }, ['input.pair']],
    ['neither of one tensor among several', { pair: { words: [] } }, ['input.pair']],
    [
      'a picture and a wrong neighbour',
      { pair: { leftImage: 'hello', words: ['a\0'] } },
      ['input.pair.leftImage', 'input.pair.words.0'],
    ],
  ])('that is %s is refused with its path, and nothing is queued', async (_what, input, paths) => {
    const before = await queued();
    const { errors } = await service().client.ask(SUBMIT, { input });
    expect(errors?.[0]?.extensions.code).toBe('INVALID_INPUT');
    expect(errors?.[0]?.extensions.issues?.map(({ path }) => path.join('.'))).toEqual(paths);
    expect(await queued()).toEqual(before);
  });

  test('needs a header that other people’s pages cannot send', async () => {
    const form = { operations: drawing, map, files: { 0: PNG } };
    const before = await queued();
    expect(await upload({ ...form, headers: {} })).toMatchObject({ status: 415, code: 'BAD_USER_INPUT' });
    expect(await queued()).toEqual(before);
    for (const name of ['GraphQL-Require-Preflight', 'Apollo-Require-Preflight', 'Authorization']) {
      expect((await upload({ ...form, headers: { [name]: 'x' } })).status).toBe(200);
    }
  });

  test.each<[string, Form]>([
    ['no operations', { map, files: { 0: PNG } }],
    ['operations that are no JSON', { operations: '{', map, files: { 0: PNG } }],
    ['several operations', { operations: [drawing], map, files: { 0: PNG } }],
    ['no map', { operations: drawing, files: { 0: PNG } }],
    ['a map that is a list', { operations: drawing, map: [], files: { 0: PNG } }],
    ['paths that are none', { operations: drawing, map: { 0: 'variables.input' }, files: { 0: PNG } }],
    ['a file that is in no path', { operations: drawing, map: {}, files: { 0: PNG } }],
    ['a path without its file', { operations: drawing, map: { ...map, 1: ['variables.x'] }, files: { 0: PNG } }],
    ['a path to the query', { operations: { ...drawing, query: null }, map: { 0: ['query'] }, files: { 0: PNG } }],
    [
      'a path to where nothing is',
      { operations: drawing, map: { 0: ['variables.input.drawing.other'] }, files: { 0: PNG } },
    ],
    ['a path to what is no null', { operations: drawing, map: { 0: ['variables.input.drawing'] }, files: { 0: PNG } }],
    ['a path twice', { operations: drawing, map: { 0: [...(map[0] ?? []), ...(map[0] ?? [])] }, files: { 0: PNG } }],
    [
      'a path through a prototype',
      { operations: drawing, map: { 0: ['variables.__proto__.polluted'] }, files: { 0: PNG } },
    ],
    [
      'a path through a constructor',
      { operations: drawing, map: { 0: ['variables.constructor.prototype.polluted'] }, files: { 0: PNG } },
    ],
    [
      'more files than one operation may have',
      {
        operations: drawing,
        map,
        files: Object.fromEntries(Array.from({ length: 1_001 }, (_, i) => [i, PNG.subarray(0, 1)])),
      },
    ],
    [
      'a field too many',
      { operations: drawing, map, files: { 0: PNG }, headers: { 'graphql-require-preflight': '1' } },
    ],
  ])('is refused in a request with %s', async (what, form) => {
    if (what === 'a field too many') {
      const body = new FormData();
      for (const name of ['operations', 'map', 'other']) body.set(name, '{}');
      const response = await fetch(service().client.url, { method: 'POST', body, headers: form.headers ?? {} });
      expect(response.status).toBe(400);
      return;
    }
    expect(await upload(form)).toMatchObject({ status: 400, code: 'BAD_USER_INPUT' });
    expect(Object.hasOwn(Object.prototype, 'polluted')).toBe(false);
  });

  test('reaches no prototype, whatever JSON has made of one', async () => {
    const operations = `{"query":${JSON.stringify(SUBMIT)},"variables":{"__proto__":{"polluted":null}}}`;
    const answer = await upload({ operations, map: { 0: ['variables.__proto__.polluted'] }, files: { 0: PNG } });
    expect(answer.code).toBe('INVALID_INPUT');
    expect('polluted' in {}).toBe(false);
  });

  test.each<[string, string, object, string, string[]]>([
    [
      'for a list of numbers',
      SUBMIT,
      { input: { drawing: { pixels: null } } },
      'variables.input.drawing.pixels',
      ['input.drawing.pixels'],
    ],
    ['for a whole input', SUBMIT, { input: { drawing: null } }, 'variables.input.drawing', ['input.drawing']],
    [
      'for text',
      SUBMIT,
      { input: { pair: { leftImage: URL, words: [null] } } },
      'variables.input.pair.words.0',
      ['input.pair.words.0'],
    ],
    ['for an id', 'query ($id: ID!) { result(id: $id) { id } }', { id: null }, 'variables.id', ['id']],
    ['for no variable', '{ models { name } }', { x: null }, 'variables.x', ['x']],
    ['for an unknown field', SUBMIT, { input: { rose: null } }, 'variables.input.rose', ['input.rose']],
  ])('is refused %s, with the path', async (_what, query, variables, path, paths) => {
    const answer = await upload({ operations: { query, variables }, map: { 0: [path] }, files: { 0: PNG } });
    expect(answer).toMatchObject({ code: 'INVALID_INPUT', paths });
  });

  test('that is larger than a body may be is refused', async () => {
    const form = { operations: drawing, map, files: { 0: new Uint8Array(400_000) } };
    expect(await upload(form)).toMatchObject({ status: 413, code: 'BAD_USER_INPUT' });
  });
});
