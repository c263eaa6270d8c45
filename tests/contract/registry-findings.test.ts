import { expect, test } from 'vitest';
import { newModel } from './registry.ts';
import { openRegistry as open, startServer } from './registry-server.ts';

test('a finding reaches every process, outlives them, and comes back to a Redis that has lost everything', async () => {
  const redis = await startServer();
  const [worker, other] = [await open(redis), await open(redis)];
  await expect.poll(() => [worker, other].every((each) => each.isReady())).toBe(true);
  await worker.recordSharing('k', { finding: 'independent' });
  await expect.poll(() => other.sharing('k')).toEqual({ finding: 'independent' });
  await other.recordSharing('k', { finding: 'dependent', reason: 'rows differ' });
  const ended = { finding: 'dependent', reason: 'rows differ', inUse: true };
  await expect.poll(() => worker.sharing('k')).toEqual(ended);
  await redis.cli('FLUSHALL');
  await redis.cli('PUBLISH', 'foretell:models:changed', '');
  await expect.poll(() => redis.cli('HGET', 'foretell:sharing', 'k')).toContain('rows differ');
  expect(await (await open(redis)).findSharing('k')).toEqual(ended);
});

test('a finding made while Redis is away holds at once, and for all once it is back', async () => {
  const redis = await startServer();
  const [worker, api] = [await open(redis), await open(redis)];
  await worker.recordSharing('k', { finding: 'independent' });
  await expect.poll(() => api.sharing('k')).toEqual({ finding: 'independent' });
  await redis.stop();
  const told = worker.recordSharing('k', { finding: 'dependent' });
  expect(worker.sharing('k')).toEqual({ finding: 'dependent', inUse: true });
  await told;
  await redis.start();
  await expect.poll(() => api.sharing('k'), { timeout: 15_000 }).toEqual({ finding: 'dependent', inUse: true });
});

test('a finding that no worker has used for a quarter of a year is dropped, and one in use is renewed', async () => {
  const redis = await startServer();
  const day = Math.floor(Date.now() / (24 * 3_600_000));
  const finding = '{"finding":"independent"}';
  await redis.cli('HSET', 'foretell:sharing', 'old', `2:${day - 91}:${finding}`, 'used', `2:${day - 80}:${finding}`);
  const worker = await open(redis);
  await worker.register([newModel({ sharingKey: 'used' })]);
  expect(await redis.cli('HGETALL', 'foretell:sharing')).toBe(`used\n2:${day}:${finding}`);
});
