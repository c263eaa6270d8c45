import { expect, test } from 'vitest';
import { startCase } from '../support/fault-case.ts';
import { startFleet, usePrivateServers } from '../support/fleet.ts';
import { slowSample } from '../support/samples.ts';

/** Some twenty seconds: twice as long as a process is given to end. */
const ROUNDS = 20_000_000;
const GRACE_MS = 10_000;

const servers = usePrivateServers();

test('a run that is longer than a worker has to end is handed back, and charged to nobody', async (context) => {
  const it = startCase(context, '8 SIGTERM in the middle of a long run');
  const fleet = await startFleet(servers());
  const [worker] = fleet.workers;
  const [long = '', ...short] = await it.submitAll(fleet.client(), [slowSample(ROUNDS), slowSample(1), slowSample(2)]);
  it.subscribe([long, ...short], fleet.client);
  const read = () => fleet.client().get('query ($id: ID!) { result(id: $id) { state } }', { id: long });
  await expect.poll(read, { timeout: 10_000 }).toEqual({ result: { state: 'RUNNING' } });

  const begunAt = performance.now();
  expect(await worker?.kill('SIGTERM')).toBe(0);
  expect(performance.now() - begunAt).toBeLessThan(GRACE_MS);
  expect(await read()).toEqual({ result: { state: 'QUEUED' } });
  await fleet.startWorker();
  const ended = await it.verify(fleet.client(), { withinMs: 100_000 });
  expect([...ended.values()].map(({ attempts }) => attempts)).toEqual([1, 1, 1]);
});
