import { describe, expect, test } from 'vitest';
import { createMemoryBroker } from '../../src/broker/memory/memory-broker.ts';
import { type Lane, predictionQueue } from '../../src/broker/topology.ts';
import { StoreUnavailable } from '../../src/errors.ts';
import type { TaskStore } from '../../src/store/store.ts';
import type { Submission } from '../../src/task/task.ts';
import { FOR_EVER, slow } from '../support/onnx-models.ts';
import { tensor } from '../support/tensors.ts';
import { startTestWorker, type TestWorker, type TestWorkerOptions } from '../support/worker.ts';

const rounds = (count: number) => [tensor('rounds', 'INT64', [BigInt(count)])];
const [queue, highQueue] = [predictionQueue('slow', 'normal'), predictionQueue('slow', 'high')];
const WAIT = { timeout: 30_000 };

const start = (options: Partial<TestWorkerOptions> = {}) =>
  startTestWorker({ models: { slow: { onnx: slow(), manifest: { maxBatch: 2 } } }, ...options });

async function publish(one: TestWorker, count: number, roundsEach: number, lane?: Lane): Promise<Submission[]> {
  const submissions = Array.from({ length: count }, () => one.submissionOf('slow'));
  await one.store.create(submissions);
  for (const submission of submissions) await one.publish(submission, rounds(roundsEach), { lane });
  return submissions;
}

async function running({ worker }: TestWorker, tasks: number): Promise<void> {
  const count = () => worker.observed.tasksInHand().find(({ state }) => state === 'RUNNING')?.tasks;
  await expect.poll(count, { timeout: 30_000, interval: 5 }).toBe(tasks);
}

const heads = async ({ store }: TestWorker, submissions: readonly Submission[]) =>
  (await store.heads(submissions.map(({ id }) => id))).map((head) => `${head?.state} ${head?.attempts}`);

describe('a worker that closes', () => {
  test('finishes what runs, and gives back what waits: no attempt, no change', async () => {
    const one = await start();
    const begun = await publish(one, 2, 100_000);
    await running(one, 2);
    const waiting = await publish(one, 2, 1, 'high');
    await expect.poll(() => one.worker.stats().waiting).toBe(2);
    const states: string[] = [];
    for (const { id } of waiting) one.store.watch(id, (event) => event !== 'reread' && states.push(event.state));
    await one.worker.close();
    expect(await heads(one, begun)).toEqual(['SUCCEEDED 1', 'SUCCEEDED 1']);
    expect(await heads(one, waiting)).toEqual(['QUEUED 0', 'QUEUED 0']);
    expect(states).toEqual([]);
    expect(await one.broker.depth(highQueue)).toBe(2);
    expect(one.log.lines('error')).toEqual([]);
  });

  test('kills what still runs after the grace time and hands it back: another worker runs it as its first attempt', async () => {
    const one = await start();
    const [endless, beside] = await publish(one, 2, FOR_EVER);
    await running(one, 2);
    await one.worker.close(50);
    const tasks = [endless, beside].flatMap((task) => task ?? []);
    expect(await heads(one, tasks)).toEqual(['QUEUED 0', 'QUEUED 0']);
    expect(await one.broker.depth(queue)).toBe(2);
    const other = await one.startAnother();
    await expect.poll(() => heads(one, tasks), { timeout: 30_000 }).toEqual(['RUNNING 1', 'RUNNING 1']);
    await other.close(0);
    expect(one.log.lines('error')).toEqual([]);
  });

  test('hands back what it has just claimed', async () => {
    let claimed: (() => void) | undefined;
    const one = await start({
      disturb: (store) => ({
        ...store,
        transition: async (id, change) => {
          const answer = await store.transition(id, change);
          if (change.to === 'RUNNING') claimed?.();
          return answer;
        },
      }),
    });
    const closed = new Promise<void>((resolve) => {
      claimed = () => resolve(one.worker.close());
    });
    const tasks = await publish(one, 2, FOR_EVER);
    await closed;
    expect(await heads(one, tasks)).toEqual(['QUEUED 0', 'QUEUED 0']);
    expect(one.worker.stats().runs).toBe(0);
  });

  test('while the store is away gives back without writing, and without a line for each task', async () => {
    let away = false;
    const disturb = (store: TaskStore): TaskStore => ({
      ...store,
      transition: async (id, change) => {
        if (away) throw new StoreUnavailable('the store is away');
        return store.transition(id, change);
      },
    });
    const one = await start({ disturb });
    const tasks = await publish(one, 2, 100_000);
    await running(one, 2);
    const waiting = await publish(one, 2, 1, 'high');
    away = true;
    // The run ends and cannot be stored: it is waited with until the grace time is over.
    await expect.poll(() => one.log.lines('warn').length, WAIT).toBe(1);
    await one.worker.close(200);
    expect(await heads(one, tasks)).toEqual(['RUNNING 1', 'RUNNING 1']);
    expect(await heads(one, waiting)).toEqual(['QUEUED 0', 'QUEUED 0']);
    expect([await one.broker.depth(queue), await one.broker.depth(highQueue)]).toEqual([2, 2]);
    expect(one.log.lines('error')).toEqual([]);
    // Given out again, they are taken over.
    away = false;
    const other = await one.startAnother();
    for (const { id } of tasks) expect(await one.ended(id)).toMatchObject({ state: 'SUCCEEDED', attempts: 2 });
    await other.close();
  });

  test('stores a result that comes within the grace time although the store is away when it begins to close', async () => {
    let away = false;
    const one = await start({
      disturb: (store) => ({
        ...store,
        transition: async (id, change) => {
          if (away) throw new StoreUnavailable('the store is away');
          return store.transition(id, change);
        },
      }),
    });
    const tasks = await publish(one, 1, 100_000);
    await running(one, 1);
    away = true;
    await expect.poll(() => one.log.lines('warn').length, WAIT).toBe(1);
    const closed = one.worker.close(20_000);
    away = false;
    await closed;
    expect(await heads(one, tasks)).toEqual(['SUCCEEDED 1']);
    expect(await one.broker.depth(queue)).toBe(0);
  });

  test('lets go of every listener, also where the broker is gone', async () => {
    const one = await start({ openBroker: createMemoryBroker });
    await publish(one, 2, 200_000);
    await running(one, 2);
    await publish(one, 2, 1, 'high');
    await one.broker.close();
    await one.worker.close();
    expect(one.store.watching()).toBe(0);
  });
});
