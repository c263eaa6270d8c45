import { globSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import packageJson from '../package.json' with { type: 'json' };
import { type InstalledPackage, installPackage } from './support/installed-package.ts';
import { runForetell, runProgram, startProcess } from './support/processes.ts';

let installed: InstalledPackage;
beforeAll(async () => {
  installed = await installPackage();
});
afterAll(() => installed.remove());

/** What is installed, in the folder that it is installed in. */
function run(args: string[]) {
  const { bin, directory: cwd, settings } = installed;
  return runForetell(args, settings, { cwd, foretell: [bin] });
}

test('the package holds JavaScript, the three models with their manifests, and nothing of the tests', () => {
  const files = globSync('**/*', { cwd: join(installed.directory, 'node_modules', 'foretell') });
  const scripts = files.filter((file) => /\.(ts|py|mjs)$/.test(file));
  expect(scripts).toEqual([]);
  expect(files.filter((file) => file.startsWith('tests') || file.startsWith('examples'))).toEqual([]);
  for (const model of ['digits', 'iris', 'spam']) {
    expect(files).toEqual(expect.arrayContaining([`models/${model}/model.json`, `models/${model}/1/model.onnx`]));
  }
});

test('npx foretell runs it', async () => {
  const { directory: cwd, settings } = installed;
  expect(
    await runForetell(['--version'], settings, { cwd, foretell: ['npx', '--no', '--', 'foretell'] }),
  ).toMatchObject({ code: 0, stdout: `${packageJson.version}\n` });
});

test('it serves the models that come along, and predicts', async () => {
  const { bin, directory: cwd, settings } = installed;
  const service = await startProcess('start', { WORKER_SLOTS: '1', ...settings }, { cwd, foretell: [bin] });
  await service.line(/^Try it:/);
  expect(service.output()).toContain('These are the bundled models');
  const [command = ''] = /^ +curl [\s\S]*?'$/m.exec(service.output()) ?? [];
  const { stdout } = await runProgram('sh', ['-c', command]);
  expect(JSON.parse(stdout)).toMatchObject({
    data: { submitPrediction: { state: 'SUCCEEDED', prediction: { label: 'setosa' } } },
  });
  const input = JSON.stringify({
    iris: { sepalLengthCm: 5.1, sepalWidthCm: 3.5, petalLengthCm: 1.4, petalWidthCm: 0.2 },
  });
  const at = ['--url', service.url];
  const submitted = await run(['submit', ...at, input]);
  const watched = await run(['watch', ...at, JSON.parse(submitted.stdout).id]);
  expect(watched.code).toBe(0);
  const [last = ''] = watched.stdout.trimEnd().split('\n').slice(-1);
  expect(JSON.parse(last)).toMatchObject({ state: 'SUCCEEDED', prediction: { label: 'setosa' } });
  expect(await service.kill('SIGTERM')).toBe(0);
});

test('its models can be inspected and checked', async () => {
  const file = join('node_modules', 'foretell', 'models', 'digits', '1', 'model.onnx');
  const inspected = await run(['models', 'inspect', file]);
  expect(inspected).toMatchObject({ code: 0, stdout: expect.stringContaining('type DigitsPrediction {') });
  expect(await run(['models', 'check'])).toMatchObject({
    code: 0,
    stdout: `digits 1: can be served
digits 1: up to 64 tasks share a run
iris 1: can be served
iris 1: up to 256 tasks share a run
spam 1: can be served
spam 1: up to 64 tasks share a run
`,
  });
});

test('on an older Node it says in one line which one it needs', async () => {
  const older = `data:text/javascript,Object.defineProperty(process, 'versions', { value: { node: '20.20.2' } })`;
  const foretell: [string, ...string[]] = [process.execPath, '--import', older, installed.bin];
  const { code, stdout, stderr } = await runForetell(['serve'], {}, { cwd: installed.directory, foretell });
  expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
  expect(stderr).toMatch(/^foretell: expected Node 24 or newer, [^\n]+\n$/);
});

/** A Node before 24 that this machine has, other than the one that the project brings. */
async function olderNode(): Promise<string | undefined> {
  const places = ['/usr/bin', '/usr/local/bin', ...(process.env['PATH'] ?? '').split(delimiter)];
  for (const place of places) {
    const node = join(place, 'node');
    const { code, stdout } = await runProgram(node, ['--version']).catch(() => ({ code: 1, stdout: '' }));
    if (code === 0 && Number.parseInt(stdout.slice(1), 10) < 24) return node;
  }
  return undefined;
}

test('on a real older Node, whose modules lack what newer ones export, it says the same', async (context) => {
  const older = await olderNode();
  if (older === undefined) return context.skip('no Node before 24 on this machine');
  const { code, stdout, stderr } = await runForetell(['serve'], {}, { foretell: [older, installed.bin] });
  expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
  expect(stderr).toMatch(/^foretell: expected Node 24 or newer, got v\d+[^\n]+\n$/);
});
