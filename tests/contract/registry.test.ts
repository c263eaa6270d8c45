import { expect, test } from 'vitest';
import { StoreUnavailable } from '../../src/errors.ts';
import { fingerprintOf } from '../../src/models/served-model.ts';
import { createMemoryRegistry } from '../../src/registry/memory-registry.ts';
import type { ModelRegistry } from '../../src/registry/registry.ts';
import { createTestLog } from '../support/test-log.ts';
import { newModel, registryContract } from './registry.ts';
import { openRegistry as open, RESULT_TTL_MS, startServer } from './registry-server.ts';

const WEEK_MS = 7 * 24 * 3_600_000;

const listed = (registry: ModelRegistry) => expect.poll(registry.list);

registryContract('memory', async () => createMemoryRegistry({ log: createTestLog() }));
registryContract('redis', async () => open(await startServer()));

test('what a worker registers, another process is told of and lists', async () => {
  const redis = await startServer();
  const [worker, api] = [await open(redis), await open(redis)];
  await expect.poll(api.isReady).toBe(true);
  const told = Promise.withResolvers<unknown>();
  api.watch(() => told.resolve(api.list()));
  const model = newModel();
  await worker.register([model]);
  expect(await told.promise).toEqual([model]);
  expect(await api.find(fingerprintOf(model))).toEqual(model);
});

test('a process that starts later lists what was registered before, also when its workers are gone', async () => {
  const redis = await startServer();
  const worker = await open(redis);
  const model = newModel();
  await worker.register([model]);
  await worker.close();
  const api = await open(redis);
  await listed(api).toEqual([model]);
});

test('what one worker stops registering is known for as long as another has it, and no longer', async () => {
  const redis = await startServer();
  const [one, other, api] = [await open(redis), await open(redis), await open(redis)];
  const [a, b, c] = [newModel({ name: 'a' }), newModel({ name: 'b' }), newModel({ name: 'c' })];
  await one.register([a, b]);
  await other.register([b, c]);
  await listed(api).toEqual([a, b, c]);
  await expect.poll(() => [a, b, c].map((model) => api.workers(fingerprintOf(model)))).toEqual([1, 2, 1]);
  await one.register([a]);
  await expect.poll(() => api.workers(fingerprintOf(b))).toBe(1);
  expect(api.list()).toEqual([a, b, c]);
  await other.register([]);
  await listed(api).toEqual([a]);
  // A process that comes later, or that lost nothing and remembers everything, does not bring them back.
  const late = await open(redis);
  await listed(late).toEqual([a]);
  await one.register([a, c]);
  await listed(api).toEqual([a, c]);
});

test('of workers that drop a model at the same time the last one withdraws it', async () => {
  const redis = await startServer();
  const workers = await Promise.all(Array.from({ length: 5 }, () => open(redis)));
  const [kept, dropped] = [newModel({ name: 'a' }), newModel({ name: 'b' })];
  // Some are still at telling what they had when they drop it.
  await Promise.all(
    workers.map(async (worker, i) => {
      const registered = worker.register([kept, dropped]);
      if (i % 2) await registered;
      await worker.register([kept]);
    }),
  );
  await listed(await open(redis)).toEqual([kept]);
});

test('a model whose workers are gone is known, and known to have none', async () => {
  const redis = await startServer();
  const [worker, api] = [await open(redis), await open(redis)];
  const model = newModel();
  await worker.register([model], [{ name: 'broken', message: 'no model' }]);
  await expect.poll(() => api.workers(fingerprintOf(model))).toBe(1);
  expect(api.faults()).toEqual([{ name: 'broken', message: 'no model' }]);
  await worker.close();
  await expect.poll(() => api.workers(fingerprintOf(model))).toBe(0);
  expect(api.list()).toEqual([model]);
  expect(api.faults()).toEqual([]);
});

test('of two workers that register one version differently the later counts, whoever renews', async () => {
  const redis = await startServer();
  const [old, young] = [await open(redis), await open(redis)];
  const before = newModel({ name: 'a' });
  const after = newModel({ name: 'a', digest: 'd2' });
  await old.register([before]);
  await expect.poll(() => Date.now()).toBeGreaterThan(announcedAt(await redis.cli('HGETALL', 'foretell:models')));
  await young.register([after]);
  // Registering the same again is what the heartbeat does.
  await old.register([before]);
  await listed(old).toEqual([after]);
  await listed(young).toEqual([after]);
  expect(await young.find(fingerprintOf(before))).toEqual(before);
});

test('models registered while Redis is away are there when it is back', async () => {
  const redis = await startServer();
  await redis.stop();
  const log = createTestLog();
  const worker = await open(redis, log);
  const model = newModel();
  await worker.register([model]);
  expect(log.lines().map(({ message }) => message)).toContain('models not registered yet');
  await redis.start();
  const api = await open(redis);
  await listed(api).toEqual([model]);
});

test('a Redis that has lost everything knows the models again when its workers have reconnected', async () => {
  const redis = await startServer();
  const [worker, api] = [await open(redis), await open(redis)];
  const model = newModel();
  await worker.register([model]);
  await listed(api).toEqual([model]);
  await redis.kill();
  await redis.start();
  const late = await open(redis);
  await listed(late).toEqual([model]);
  await listed(api).toEqual([model]);
});

test('a Redis that has lost everything has the models back from an API that remembers them, also while no worker is there', async () => {
  const redis = await startServer();
  const [worker, api] = [await open(redis), await open(redis)];
  const model = newModel();
  await worker.register([model]);
  await listed(api).toEqual([model]);
  await worker.close();
  await redis.cli('FLUSHALL');
  // It reads an empty Redis, and is told when there is something to read.
  const early = await open(redis);
  await expect.poll(early.isReady).toBe(true);
  await redis.cli('PUBLISH', 'foretell:models:changed', '');
  await expect.poll(() => redis.cli('HKEYS', 'foretell:models')).toContain(model.name);
  expect(api.list()).toEqual([model]);
  await listed(early).toEqual([model]);
  const late = await open(redis);
  await listed(late).toEqual([model]);
});

test('while Redis is away the last list stays, and what was read once is found', async () => {
  const redis = await startServer();
  const [worker, api] = [await open(redis), await open(redis)];
  const model = newModel();
  await worker.register([model]);
  await listed(api).toEqual([model]);
  await redis.kill();
  expect(api.list()).toEqual([model]);
  expect(await api.find(fingerprintOf(model))).toEqual(model);
  await expect(api.find('unknown')).rejects.toThrow(StoreUnavailable);
});

test('registrations that are not understood are passed over, and logged once', async () => {
  const redis = await startServer();
  const log = createTestLog();
  const [worker, api] = [await open(redis), await open(redis, log)];
  const pointer = JSON.stringify({ fingerprint: 'f00d', announcedAt: 1, seenAt: Date.now() });
  await redis.cli('HSET', 'foretell:models', '["x","1"]', 'no pointer', '["y","1"]', pointer);
  await redis.cli('SET', 'foretell:model:f00d', '{"name":"y"}');
  const [a, b] = [newModel({ name: 'a' }), newModel({ name: 'b' })];
  await worker.register([a]);
  await listed(api).toEqual([a]);
  await worker.register([a, b]);
  await listed(api).toEqual([a, b]);
  const warnings = log.lines().filter(({ message }) => message === 'registered model not readable');
  expect(warnings.map(({ fields }) => fields)).toEqual([{ fingerprint: 'f00d' }]);
});

test('what nobody has renewed for a week is withdrawn, and dropped when no task can refer to it', async () => {
  const redis = await startServer();
  const [gone, worker] = [await open(redis), await open(redis)];
  const [old, current] = [newModel({ name: 'old' }), newModel({ name: 'current' })];
  await gone.register([old]);
  await gone.close();
  const age = (ms: number) => {
    const [announcedAt, seenAt] = [Date.now() - ms, Date.now() - ms];
    const pointer = JSON.stringify({ fingerprint: fingerprintOf(old), announcedAt, seenAt });
    return redis.cli('HSET', 'foretell:models', '["old","1"]', pointer);
  };
  await age(WEEK_MS + 1_000);
  await worker.register([current]);
  expect([worker.list(), worker.withdrawn()]).toEqual([[current], [old]]);
  expect(await worker.find(fingerprintOf(old))).toEqual(old);
  const ttlMs = Number(await redis.cli('PTTL', `foretell:model:${fingerprintOf(old)}`));
  expect(ttlMs).toBeGreaterThan(WEEK_MS + RESULT_TTL_MS - 60_000);
  await age(WEEK_MS + RESULT_TTL_MS + 1_000);
  await worker.register([current]);
  expect([worker.list(), worker.withdrawn()]).toEqual([[current], []]);
  expect(await redis.cli('HKEYS', 'foretell:models')).toBe('["current","1"]');
});

test('what is withdrawn is known to processes that start later, and to a Redis that has lost everything', async () => {
  const redis = await startServer();
  const [worker, api] = [await open(redis), await open(redis)];
  const [model, older] = [newModel({ version: '2' }), newModel()];
  const before = { ...older, name: model.name };
  await worker.register([model, before]);
  await worker.register([model]);
  // Removed long before the rest, it is no part of what the model was.
  const seenAt = Date.now() - 120_000;
  const pointer = { fingerprint: fingerprintOf(before), announcedAt: seenAt, seenAt, withdrawn: true };
  await redis.cli('HSET', 'foretell:models', JSON.stringify([model.name, '1']), JSON.stringify(pointer));
  await worker.register([]);
  const withdrawn = (registry: ModelRegistry) => expect.poll(registry.withdrawn);
  await withdrawn(api).toEqual([model]);
  await withdrawn(await open(redis)).toEqual([model]);
  await redis.cli('FLUSHALL');
  await redis.cli('PUBLISH', 'foretell:models:changed', '');
  await expect.poll(() => redis.cli('HKEYS', 'foretell:models')).toContain(model.name);
  const late = await open(redis);
  await withdrawn(late).toEqual([model]);
  expect(late.list()).toEqual([]);
});

function announcedAt(hash: string): number {
  return Number(/"announcedAt":(\d+)/.exec(hash)?.[1]);
}
