import { createServer, request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, onTestFinished, test } from 'vitest';
import { ConfigError, readConfig } from '../src/process/config.ts';
import { describeSettings } from '../src/process/settings.ts';
import { requireBinary } from './support/binaries.ts';
import {
  type Command,
  type RunningProcess,
  runCommand,
  runProgram,
  type Settings,
  startProcess,
} from './support/processes.ts';

const COMMANDS: Command[] = ['start', 'api', 'worker'];
const KEY = 'k'.repeat(24);
/** Well-formed addresses at which nothing listens. */
const ELSEWHERE = { BROKER_URL: 'amqp://127.0.0.1:1', STORE_URL: 'redis://127.0.0.1:1' };

test.concurrent.each(COMMANDS)(
  '%s --help prints every setting with its default and meaning, and exits with 0',
  async (command) => {
    const { code, stdout, stderr } = await runCommand(command, ['--help']);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    for (const { name, default: fallback, description } of describeSettings()) {
      const row = stdout.split('\n').find((line) => line.trim().startsWith(`${name} `));
      expect(row).toContain(description);
      expect(row).toContain(fallback);
    }
  },
);

const WRONG: [Settings, string, Command?][] = [
  [{ PORT: 'abc' }, 'PORT'],
  [{ PORT: '70000' }, 'PORT'],
  [{ WORKER_PORT: '-1', ...ELSEWHERE }, 'WORKER_PORT', 'worker'],
  [{ HOST: '0.0.0.0' }, 'HOST'],
  [{ BROKER_URL: 'http://x' }, 'BROKER_URL'],
  [{ STORE_URL: 'localhost' }, 'STORE_URL'],
  [{ STORE_URL: 'redis:foo' }, 'STORE_URL'],
  [{ STORE_URL: 'redis://127.0.0.1:1/abc' }, 'STORE_URL'],
  [{ STORE_URL: 'redis://' }, 'STORE_URL'],
  [{ BROKER_URL: 'amqp://' }, 'BROKER_URL'],
  [{ BROKER_URL: 'amqp:foo' }, 'BROKER_URL'],
  [{ BROKER_URL: 'amqp://127.0.0.1:1,http://x' }, 'BROKER_URL'],
  [{ BROKER_URL: 'amqp://127.0.0.1:99999' }, 'BROKER_URL'],
  [{ BROKER_URL: ELSEWHERE.BROKER_URL }, 'STORE_URL'],
  [{ STORE_URL: ELSEWHERE.STORE_URL }, 'BROKER_URL'],
  [{ BROKER_URL: ELSEWHERE.BROKER_URL }, 'STORE_URL', 'api'],
  [{ STORE_URL: ELSEWHERE.STORE_URL }, 'BROKER_URL', 'worker'],
  [{ WORKER_SLOTS: '0' }, 'WORKER_SLOTS'],
  [{ MODEL_MEMORY_MB: '2GB' }, 'MODEL_MEMORY_MB'],
  [{ WORKER_MODELS: ' , ' }, 'WORKER_MODELS'],
  [{ API_KEYS: 'alice:short' }, 'API_KEYS'],
  [{ API_KEYS: KEY }, 'API_KEYS'],
  [{ API_KEYS: ' , ' }, 'API_KEYS'],
  [{ API_KEYS: `ann:${KEY} with spaces` }, 'API_KEYS'],
  [{ METRICS_KEY: 'short' }, 'METRICS_KEY'],
  [{ CORS_ORIGINS: 'app.example' }, 'CORS_ORIGINS'],
  [{ CORS_ORIGINS: 'https://app.example/' }, 'CORS_ORIGINS'],
  [{ API_KEYS_FILE: '/nowhere/keys' }, 'API_KEYS_FILE'],
  [{ ALLOW_UNAUTHENTICATED: 'perhaps' }, 'ALLOW_UNAUTHENTICATED'],
  [{ RESULT_TTL_S: '1.5' }, 'RESULT_TTL_S'],
  [{ BODY_LIMIT_BYTES: '10MB' }, 'BODY_LIMIT_BYTES'],
  [{ SHUTDOWN_GRACE_S: '0' }, 'SHUTDOWN_GRACE_S'],
  [{ PRODUCTION: 'maybe' }, 'PRODUCTION'],
  [{ INTROSPECTION: 'maybe' }, 'INTROSPECTION'],
  [{ GRAPHIQL: 'maybe' }, 'GRAPHIQL'],
  [{ LOG_LEVEL: 'x' }, 'LOG_LEVEL'],
];

test.each(WRONG)('the setting %j is refused with one line that names %s', (settings, name, command = 'start') => {
  expect(() => readConfig(command, settings)).toThrow(ConfigError);
  expect(() => readConfig(command, settings)).toThrow(new RegExp(`^${name}: [^\\n]+$`));
});

test('an address that is refused is not repeated: it may hold a password', () => {
  for (const settings of [{ STORE_URL: 'rediss://u:secret@[::1' }, { BROKER_URL: 'http://u:secret@host' }]) {
    expect(() => readConfig('start', settings)).toThrow(/^(?!.*secret)/);
  }
});

test.concurrent.each<[Command, Settings, string[]]>([
  ['start', { PORT: 'abc', LOG_LEVEL: 'x' }, ['PORT', 'LOG_LEVEL']],
  ['start', { API_KEYS: 'alice:too-short-a-secret' }, ['API_KEYS']],
  ['start', { BROKER_URL: ELSEWHERE.BROKER_URL }, ['STORE_URL']],
  ['api', { HOST: '0.0.0.0', ...ELSEWHERE }, ['HOST']],
  ['api', {}, ['BROKER_URL, STORE_URL']],
  ['worker', {}, ['BROKER_URL, STORE_URL']],
])(
  '%s with the settings %j prints a line for each that is wrong, and exits with 2',
  async (command, settings, names) => {
    const { code, stdout, stderr } = await runCommand(command, [], settings);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toMatch(new RegExp(`^${names.map((name) => `foretell: ${name}: .+\\n`).join('')}$`));
    expect(stderr).not.toContain('too-short-a-secret');
  },
);

test.concurrent.each([['--prot=1'], ['4000']])(
  'the argument %s is refused in one line that points to --help',
  async (argument) => {
    const { code, stderr } = await runCommand('start', [argument]);
    expect(code).toBe(2);
    expect(stderr).toMatch(/^foretell: [^\n]+\(see foretell serve --help\)\n$/);
  },
);

test.each<[Command, Settings]>([
  ['start', {}],
  ['api', ELSEWHERE],
  ['worker', ELSEWHERE],
])('%s says in one line that its port is taken, and exits with 1', async (command, settings) => {
  const port = await takenPort();
  const variable = command === 'worker' ? 'WORKER_PORT' : 'PORT';
  const { code, stderr } = await runCommand(command, [], { ...settings, LOG_LEVEL: 'silent', [variable]: port });
  expect(code).toBe(1);
  expect(stderr).toMatch(new RegExp(`^foretell: port ${port} of [^\\n]* is in use[^\\n]*\\n$`));
});

test('start says in one line that none of the models that it is to serve is there, and exits with 1', async () => {
  const settings = { WORKER_MODELS: 'nothing, irs', LOG_LEVEL: 'silent', WORKER_SLOTS: '1' };
  const { code, stderr } = await runCommand('start', [], settings);
  expect({ code, stderr }).toEqual({
    code: 1,
    stderr: 'foretell: WORKER_MODELS: MODELS_DIR has none of the models nothing, irs; it has digits, iris, spam\n',
  });
});

test.each<[string, Settings]>([
  ['', {}],
  [', the key put in,', { API_KEYS: `alice:${KEY}` }],
])('the curl that npm start prints%s is answered with a prediction', async (_, settings) => {
  const sh = await requireBinary('sh', 'dash');
  await requireBinary('curl', 'curl');
  const service = await startProcess('start', { WORKER_SLOTS: '1', ...settings });
  await service.line(/^Try it:/);
  await service.ready();
  const banner = service.output();
  for (const model of ['digits 1', 'iris 1', 'spam 1']) expect(banner).toContain(model);
  expect(banner).toContain('kept in memory');

  const [command = ''] = /^ +curl [\s\S]*?'$/m.exec(banner) ?? [];
  const { stdout, stderr } = await runProgram(sh, ['-c', command.replace('<key>', KEY)]);
  expect(stderr).toBe('');
  expect(JSON.parse(stdout)).toMatchObject({
    data: { submitPrediction: { state: 'SUCCEEDED', prediction: { label: 'setosa' } } },
  });
  expect(await service.kill('SIGTERM')).toBe(0);
});

describe('a service with a request in hand that never ends', () => {
  async function start(settings: Settings): Promise<RunningProcess> {
    const service = await startProcess('start', { WORKER_SLOTS: '1', LOG_LEVEL: 'info', ...settings });
    await service.ready();
    await halfRequest(service.url);
    return service;
  }

  test('ends with 0 on SIGTERM within the grace time', async () => {
    const service = await start({});
    const begun = performance.now();
    expect(await service.kill('SIGTERM')).toBe(0);
    expect(performance.now() - begun).toBeLessThan(10_000);
  });

  test('ends with 1 when the grace time is over', async () => {
    const service = await start({ SHUTDOWN_GRACE_S: '1' });
    expect(await service.kill('SIGTERM')).toBe(1);
    expect(service.output()).toContain('not closed in time');
  });

  test('ends with 1 at once on a second signal, a second later: one Ctrl-C comes several times', async () => {
    const service = await start({ SHUTDOWN_GRACE_S: '3600' });
    const ended = service.kill('SIGTERM');
    await service.line(/closing/);
    process.kill(service.pid, 'SIGTERM');
    await sleep(1_100);
    expect(service.isAlive()).toBe(true);
    const begun = performance.now();
    expect(await service.kill('SIGINT')).toBe(1);
    expect(performance.now() - begun).toBeLessThan(2_000);
    expect(await ended).toBe(1);
  });
});

/** A request whose body never comes; resolves once the server waits for it. */
function halfRequest(url: string): Promise<void> {
  return new Promise((resolve) => {
    const headers = { 'content-type': 'application/json', 'content-length': 1_000, expect: '100-continue' };
    const half = request(`${url}/graphql`, { method: 'POST', headers, agent: false }).on('error', () => undefined);
    half.on('continue', resolve).flushHeaders();
  });
}

/** A port at which somebody else listens. */
async function takenPort(): Promise<string> {
  const server = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  onTestFinished(() => void server.close());
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error(`expected a TCP address, got ${address}`);
  return String(address.port);
}

test('under node --watch, whose processes tell their parents what they import, inference processes answer', async () => {
  const service = await startProcess('start', { WORKER_SLOTS: '1', WATCH_REPORT_DEPENDENCIES: '1' });
  await service.line(/^Try it:/);
  await service.ready();
});
