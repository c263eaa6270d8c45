import { chmod, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { modelsDir } from './support/models-dir.ts';
import { slow } from './support/onnx-models.ts';
import { inferencePids, startProcess } from './support/processes.ts';
import { temporaryDirectory } from './support/temporary-directory.ts';

test('keys change while a service runs: a signal or a second is enough, and streams of a removed key are cut', async () => {
  const [weak, ann, bob] = ['k'.repeat(24), 'hK2vQ9xW4mZ7pL1sR8dT5yBc', 'n3G6jF0wE9uX2aV7kC5oM8qS'];
  const file = join(await temporaryDirectory(), 'keys');
  await writeFile(file, `ann:${ann}\nold:${weak}`, { mode: 0o644 });
  const settings = {
    WORKER_SLOTS: '1',
    SHUTDOWN_GRACE_S: '3',
    MODELS_DIR: await modelsDir({ slow: { onnx: slow() } }),
  };
  const service = await startProcess('start', { ...settings, API_KEYS_FILE: file });
  await service.ready();
  await service.line(/"owners":\["old"\].*key can be guessed/);
  await service.line(/its mode is 644.*API key file at risk/);
  const post = (key: string, query: string, accept = 'application/json') =>
    fetch(`${service.url}/graphql`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', accept, authorization: `Bearer ${key}` },
      body: JSON.stringify({ query }),
    });
  const status = async (key: string) => (await post(key, '{ __typename }')).status;

  const submitted = await post(ann, 'mutation { submitPrediction(input: { slow: { rounds: "20000000000" } }) { id } }');
  const { data } = (await submitted.json()) as { data: { submitPrediction: { id: string } } };
  const watch = `subscription { taskCompleted(id: "${data.submitPrediction.id}") { id } }`;
  // Its answer has begun: the stream is open.
  const stream = await post(ann, watch, 'text/event-stream');
  expect(stream.status).toBe(200);
  await writeFile(file, `bob:${bob}`);
  await chmod(file, 0o600);
  process.kill(service.pid, 'SIGHUP');
  for (const child of await inferencePids(service)) process.kill(child, 'SIGHUP');
  await service.line(/"added":1,"removed":2.*API key file taken/);
  await expect(stream.text()).rejects.toThrow('terminated');
  expect([await status(ann), await status(bob)]).toEqual([401, 200]);
  await service.line(/"remoteAddress":"127.0.0.1".*key refused/);

  await writeFile(file, '');
  await service.line(/expected owner:key pairs.*API key file rejected/);
  expect([await status(ann), await status(bob)]).toEqual([401, 200]);
  await writeFile(file, `ann:${ann}`);
  await expect.poll(() => status(ann)).toBe(200);
  expect(service.output()).not.toMatch(new RegExp([weak, ann, bob].join('|')));
  expect(service.output()).not.toContain('inference process ended');
  expect(await service.kill('SIGTERM')).toBe(0);
});

test('a SIGHUP that comes while a service loads its modules ends nothing', async () => {
  const hangUp = `import { registerHooks } from 'node:module';
    registerHooks({
      load(url, context, next) {
        if (url.endsWith('/commands.ts')) process.kill(process.pid, 'SIGHUP');
        return next(url, context);
      },
    });`;
  const service = await startProcess('start', {
    WORKER_SLOTS: '1',
    MODELS_DIR: await modelsDir({ slow: { onnx: slow() } }),
    NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(hangUp)}`,
  });
  await service.ready();
  expect(await service.kill('SIGTERM')).toBe(0);
});
