import { symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import packageJson from '../package.json' with { type: 'json' };
import { runForetell, runProgram, startProcess } from './support/processes.ts';
import { temporaryDirectory } from './support/temporary-directory.ts';

test('foretell --help names every command, and each has a help of its own', async () => {
  const { code, stdout, stderr } = await runForetell(['--help']);
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  const names = [...stdout.matchAll(/^ {2}([a-z]+( [a-z]+)?)/gm)].map(([, name = '']) => name);
  expect(names).toEqual(
    expect.arrayContaining([
      'serve',
      'api',
      'worker',
      'models inspect',
      'models add',
      'models check',
      'submit',
      'watch',
    ]),
  );
  for (const name of names) {
    const help = await runForetell([...name.split(' '), '--help']);
    expect(help).toEqual({ code: 0, stdout: expect.stringMatching(`^Usage: foretell ${name} `), stderr: '' });
  }
});

test('foretell --version prints the version of the package', async () => {
  expect(await runForetell(['--version'])).toEqual({ code: 0, stdout: `${packageJson.version}\n`, stderr: '' });
});

test.each([
  ['a reader that is gone', '| true; exit $PIPESTATUS', ''],
  ['a disk that is full', '> /dev/full', 'foretell: standard output: ENOSPC: no space left on device, write\n'],
])('%s ends a command with 1, and with one line at most', async (_, redirection, stderr) => {
  const line = `{ sleep 0.2; "$0" bin/foretell.ts submit --help; } ${redirection}`;
  const ended = await runProgram('bash', ['-c', line, process.execPath]);
  expect(ended).toEqual({ code: 1, stdout: '', stderr });
});

test.concurrent.each([
  [['predict'], 'unknown command "predict"'],
  [['models'], 'expected one of models inspect, models add, models check'],
  [['models', 'remove'], 'unknown command "models remove"'],
  [['--verbose'], 'unknown option "--verbose"'],
  [['serve', '--prot', '1'], '--prot'],
  [['worker', '--broker-url', 'amqp://u:secret@host'], '--broker-url'],
  [['api', 'here'], 'unexpected argument "here"'],
  [['serve', '--port'], '--port'],
  [['serve', '--port', 'abc'], 'PORT: expected a whole number from 0 to 65535, got "abc"'],
])('foretell %j is refused in one line that names what is wrong', async (args, name) => {
  const { code, stdout, stderr } = await runForetell(args);
  expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
  expect(stderr).toMatch(/^foretell: [^\n]+\n$/);
  expect(stderr).toContain(name);
});

test('without a command it prints all of them, and exits with 2', async () => {
  const { code, stdout, stderr } = await runForetell([]);
  expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
  expect(stderr).toContain('Usage: foretell COMMAND');
});

test('an option stands before the environment', async () => {
  const { code, stderr } = await runForetell(['serve', '--log-level', 'loud'], { LOG_LEVEL: 'silent' });
  expect(code).toBe(2);
  expect(stderr).toContain('got "loud"');
});

test('where there is no folder of models, those that come along are served, and the start message says so', async () => {
  const cwd = await temporaryDirectory();
  const service = await startProcess('start', { WORKER_SLOTS: '1' }, { cwd });
  await service.line(/^Try it:/);
  for (const line of ['digits 1', 'iris 1', 'spam 1', 'These are the bundled models'])
    expect(service.output()).toContain(line);
  expect(await service.kill('SIGTERM')).toBe(0);
});

test('where there is one, its models are served', async () => {
  const cwd = await temporaryDirectory();
  await symlink(join(process.cwd(), 'models'), join(cwd, 'models'));
  const service = await startProcess('start', { WORKER_SLOTS: '1' }, { cwd });
  await service.line(/^Try it:/);
  expect(service.output()).toContain('iris 1');
  expect(service.output()).not.toContain('come along');
});
