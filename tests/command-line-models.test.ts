import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { folder, SCALE, scaling } from './support/models-command.ts';
import { modelsDir } from './support/models-dir.ts';
import { onnxModel, value } from './support/onnx.ts';
import { identity } from './support/onnx-models.ts';
import { runForetell } from './support/processes.ts';
import { DEPENDENT } from './support/sharing-models.ts';
import { temporaryDirectory } from './support/temporary-directory.ts';

const ZIP_MAP_NOTE =
  'output "output_probability" is left out: it is a sequence of maps, and only tensors can be read; ' +
  "skl2onnx gives a tensor instead with options={'zipmap': False}";

describe('foretell models inspect', () => {
  test('says what the model takes and gives, its size and opset, and the GraphQL types that it gets', async () => {
    const { run } = await folder({});
    const { code, stdout, stderr } = await run(['inspect', join(process.cwd(), 'models/iris/1/model.onnx')]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    const size = (await readFile('models/iris/1/model.onnx')).length;
    for (const line of [
      /^ {2}name +iris$/m,
      new RegExp(`^ {2}size +${size} bytes$`, 'm'),
      /^ {2}opset +ai\.onnx 15; IR version 8$/m,
      /^ {2}input +features FP32 \[batch, 4\]$/m,
      /^ {2}output +label INT64 \[batch\]$/m,
      /^ {2}batched +yes, up to 256 tasks share a run$/m,
      /^ {2}sepalLengthCm: Float!$/m,
      /^ {2}probabilities: IrisProbabilities!$/m,
    ])
      expect(stdout).toMatch(line);
    const schema = await readFile('schema.graphql', 'utf8');
    const [input = 'none'] = /^input IrisInput \{.*?\}/ms.exec(stdout) ?? [];
    expect(schema).toContain(input);
  });

  test('leaves nothing behind, in the home directory or the temporary one: ONNX Runtime keeps no record of its use', async () => {
    const home = await temporaryDirectory();
    const file = join(process.cwd(), 'models/iris/1/model.onnx');
    expect(await runForetell(['models', 'inspect', file], { HOME: home, TMPDIR: home })).toMatchObject({ code: 0 });
    expect(await readdir(home)).toEqual([]);
  });

  test('says why tasks cannot share a run: by the structure, or what a probe found', async () => {
    const { run } = await folder({ 'my-model.onnx': identity('FP32', [1, 4]), 'mixes.onnx': DEPENDENT['size'] ?? '' });
    const mixing = (await run(['inspect', 'mixes.onnx'])).stdout;
    expect(mixing).toMatch(/^ {2}batched +no: FP32 output "y" of a row beside other rows .* \(a probe of 3 rows: /m);
    const { code, stdout } = await run(['inspect', 'my-model.onnx']);
    expect(code).toBe(0);
    expect(stdout).toContain('  batched  no: Dimension 0 of input "x" is always 1.\n');
    expect(stdout).toContain('input My_modelInput {');
  });

  test('takes a model.json beside the file, and names the fault of one that does not fit', async () => {
    const onnx = identity('FP32', ['rows', 4]);
    const named = await folder({ 'm.onnx': onnx, 'model.json': '{ "batched": true, "maxBatch": 7 }' });
    expect((await named.run(['inspect', 'm.onnx'])).stdout).toContain(
      'yes, up to 7 tasks share a run. Warning: model.json says "batched": true, so nothing proves that',
    );
    const wrong = await folder({ 'm.onnx': onnx, 'model.json': '{ "inputs": { "z": {} } }' });
    expect(await wrong.run(['inspect', 'm.onnx'])).toEqual({
      code: 1,
      stdout: '',
      stderr: expect.stringMatching(/^foretell: model\.json: inputs\.z: the model has no such tensor; [^\n]+\n$/),
    });
  });

  test('says which output is left out, and what to do about it', async () => {
    const { run } = await folder({});
    const { code, stdout } = await run(['inspect', join(process.cwd(), 'examples/models/wine/1/model.onnx')]);
    expect(code).toBe(0);
    expect(stdout).toContain(`\nNote: ${ZIP_MAP_NOTE}.\n\ninput PredictionInput`);
  });

  test('says why a model has no typed input', async () => {
    const { run } = await folder({
      'any.onnx': onnxModel({
        inputs: [value('x', 'FP32', null)],
        outputs: [value('y', 'FP32', null)],
        nodes: [{ op: 'Identity', inputs: ['x'], outputs: ['y'] }],
      }),
    });
    const { stdout } = await run(['inspect', 'any.onnx']);
    expect(stdout).toContain('No typed input, because the rank of input "x" is unknown; submit tensors (--tensors).');
  });

  test('counts the files of weights, and says in one line where one is missing or the file is no model', async () => {
    const { cwd, run } = await folder({ 'm.onnx': scaling('scale.bin'), 'no.onnx': 'no' });
    for (const [file, fault] of [
      ['m.onnx', 'scale.bin'],
      ['no.onnx', 'no.onnx: expected an ONNX model, got a text file'],
      ['nowhere.onnx', 'nowhere.onnx'],
    ] as const) {
      const { code, stderr } = await run(['inspect', file]);
      expect(code).toBe(1);
      expect(stderr).toMatch(/^foretell: [^\n]+\n$/);
      expect(stderr).toContain(fault);
    }
    await writeFile(join(cwd, 'scale.bin'), SCALE);
    const size = scaling('scale.bin').length + SCALE.length;
    expect((await run(['inspect', 'm.onnx'])).stdout).toContain(`${size} bytes, with scale.bin`);
  });
});

describe('foretell models add', () => {
  test('puts the file where it is served, under its own name, each time as the next version', async () => {
    const onnx = identity('FP32');
    const { cwd, run } = await folder({ 'echo.onnx': onnx });
    for (const version of ['1', '2']) {
      expect(await run(['add', 'echo.onnx'])).toEqual({
        code: 0,
        stdout: `models/echo/${version}/model.onnx: version ${version} of model "echo"\nNote: up to 64 tasks share a run.\n`,
        stderr: '',
      });
      expect(await readFile(join(cwd, 'models', 'echo', version, 'model.onnx'))).toEqual(onnx);
    }
    expect(await readdir(join(cwd, 'models'))).toEqual(['echo']);
    expect(await run(['check'])).toMatchObject({ code: 0, stdout: expect.stringContaining('echo 2: can be served') });
  });

  test('takes name, version and directory as options, and the files of weights along', async () => {
    const { cwd, run } = await folder({ 'm.onnx': scaling('weights/scale.bin') });
    await mkdir(join(cwd, 'weights'));
    await writeFile(join(cwd, 'weights', 'scale.bin'), SCALE);
    const options = ['--name', 'Scale.v2', '--version', '7', '--models-dir', 'elsewhere'];
    expect(await run(['add', 'm.onnx', ...options])).toMatchObject({ code: 0, stderr: '' });
    const added = join(cwd, 'elsewhere', 'Scale.v2', '7');
    expect((await readdir(added, { recursive: true })).sort()).toEqual(['model.onnx', 'weights', 'weights/scale.bin']);
    expect(await run(['check'], { MODELS_DIR: 'elsewhere' })).toMatchObject({ code: 0, stderr: '' });
  });

  test('never overwrites a version, and says which one is free', async () => {
    const { cwd, run } = await folder({ 'echo.onnx': identity('FP32'), 'other.onnx': identity('FP64') });
    await run(['add', 'echo.onnx', '--version', '3']);
    const before = await readFile(join(cwd, 'models/echo/3/model.onnx'));
    const { code, stderr } = await run(['add', 'other.onnx', '--name', 'echo', '--version', '3']);
    expect({ code, stderr }).toEqual({
      code: 1,
      stderr: 'foretell: models/echo/3 exists already; version 4 is free\n',
    });
    expect(await readFile(join(cwd, 'models/echo/3/model.onnx'))).toEqual(before);
  });

  test('refuses what could not be served, and leaves nothing behind', async () => {
    const { cwd, run } = await folder({
      'no.onnx': 'no',
      'm.onnx': scaling('scale.bin'),
      'outside.onnx': scaling('../scale.bin'),
      'echo.onnx': identity('FP32'),
    });
    const faults: [string[], number, string][] = [
      [['no.onnx'], 1, 'no.onnx: '],
      [['m.onnx'], 1, 'scale.bin'],
      [
        ['outside.onnx'],
        1,
        'outside.onnx: its weights are in "../scale.bin"; expected files beside or below the model file',
      ],
      [['nowhere.onnx'], 1, 'nowhere.onnx'],
      [['echo.onnx', '--name', 'tensors'], 1, 'models/tensors: a model cannot be named "tensors"'],
      [['echo.onnx', '--name', '../echo'], 2, '--name: expected a name without slashes'],
      [['echo.onnx', '--version', '1.5'], 2, '--version: expected a whole number, got "1.5"'],
      [[], 2, 'expected FILE'],
    ];
    for (const [args, code, line] of faults) {
      const ended = await run(['add', ...args]);
      expect({ code: ended.code, stdout: ended.stdout }).toEqual({ code, stdout: '' });
      expect(ended.stderr).toMatch(/^foretell: [^\n]+\n$/);
      expect(ended.stderr).toContain(line);
    }
    expect(existsSync(join(cwd, 'models')) ? await readdir(join(cwd, 'models')) : []).toEqual([]);
  });

  test('a version that the manifest of its model does not fit is refused with the path of the manifest', async () => {
    const { cwd, run } = await folder({ 'echo.onnx': identity('FP32', ['batch', 3]) });
    await mkdir(join(cwd, 'models', 'echo'), { recursive: true });
    await writeFile(join(cwd, 'models/echo/model.json'), '{ "inputs": { "x": { "fields": ["a", "b"] } } }');
    const { code, stderr } = await run(['add', 'echo.onnx']);
    expect(code).toBe(1);
    expect(stderr).toMatch(/^foretell: models\/echo\/model\.json: inputs\.x\.fields: 2 names do not fit [^\n]+\n$/);
    expect(await readdir(join(cwd, 'models', 'echo'))).toEqual(['model.json']);
  });
});

/** What `models check` says of models whose rows are independent. */
const servable = (...versions: string[]) =>
  versions.map((version) => `${version}: can be served\n${version}: up to 64 tasks share a run\n`).join('');

describe('foretell models check', () => {
  test('names what can be served, and each fault with its path', async () => {
    const directory = await modelsDir({
      good: { onnx: identity('FP32') },
      broken: { onnx: { 1: Buffer.from('no'), 2: identity('FP32') } },
      mistaken: { onnx: identity('FP32'), manifest: { maxBatch: 0 } },
    });
    const { code, stdout, stderr } = await runForetell(['models', 'check', '--models-dir', directory]);
    expect({ code, stdout }).toEqual({ code: 1, stdout: servable('broken 2', 'good 1') });
    const lines = stderr.trimEnd().split('\n').sort();
    expect(lines).toEqual([
      expect.stringContaining(
        `foretell: ${join(directory, 'broken', '1', 'model.onnx')}: the model could not be loaded`,
      ),
      expect.stringContaining(`foretell: ${join(directory, 'mistaken', 'model.json')}: maxBatch: `),
    ]);
  });

  test('notes the outputs that are left out, which is no fault', async () => {
    const onnx = await readFile('examples/models/wine/1/model.onnx');
    const { cwd, run } = await folder({ 'wine.onnx': onnx });
    expect(await run(['add', 'wine.onnx'])).toMatchObject({
      stderr: '',
      stdout: expect.stringContaining(`Note: ${ZIP_MAP_NOTE}.\n`),
    });
    const { code, stdout, stderr } = await run(['check', '--models-dir', join(cwd, 'models')]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toMatch(/^wine 1: can be served$/m);
    expect(stdout).toContain(`\nwine 1: ${ZIP_MAP_NOTE}\n`);
  });

  test('without a folder of models it looks at those that come along; one that is named has to be there', async () => {
    const { run } = await folder({});
    const { code, stdout } = await run(['check']);
    expect({ code, stdout }).toEqual({
      code: 0,
      stdout: servable('digits 1') + servable('iris 1').replace('64', '256') + servable('spam 1'),
    });
    expect(await run(['check'], { MODELS_DIR: 'nowhere' })).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/^foretell: nowhere: .*no such file or directory[^\n]*\n$/),
    });
  });
});
