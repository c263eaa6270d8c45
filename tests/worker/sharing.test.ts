import { describe, expect, test } from 'vitest';
import type { Submission } from '../../src/task/task.ts';
import { NO_METRICS } from '../../src/telemetry/no-metrics.ts';
import type { WorkerObserver } from '../../workers/tasks/worker-observer.ts';
import { identity, slow } from '../support/onnx-models.ts';
import { tensor } from '../support/tensors.ts';
import { startTestWorker, type TestWorker } from '../support/worker.ts';

const rounds = (...counts: number[]) => [tensor('rounds', 'INT64', counts.map(BigInt), [counts.length])];
const row = (...elements: number[]) => [tensor('x', 'FP32', elements, [1, elements.length])];

async function publishAll(one: TestWorker, count: number, inputsOf: (i: number) => ReturnType<typeof rounds>) {
  const submissions = Array.from({ length: count }, () => one.submissionOf('slow'));
  await one.store.create(submissions);
  for (const [i, submission] of submissions.entries()) await one.publish(submission, inputsOf(i));
  return submissions;
}

const allEnded = (one: TestWorker, submissions: readonly Submission[]) =>
  Promise.all(submissions.map(({ id }) => one.ended(id)));

/** Some 200 ms of work; where others work as well, more. */
const MANY_ROUNDS = 200_000;

describe('of 40 slow tasks two workers', () => {
  const TASKS = 40;
  const timeout = 180_000;

  test('get about half each', { timeout }, async () => {
    const one = await startTestWorker({ models: { slow: { onnx: slow(), manifest: { maxBatch: 1 } } } });
    const other = await one.startAnother();
    await allEnded(one, await publishAll(one, TASKS, () => rounds(MANY_ROUNDS / 4)));
    // Not more evenly than the machine shares its cores.
    expect(Math.max(one.worker.stats().tasks, other.stats().tasks)).toBeLessThanOrEqual(TASKS * 0.7);
  });

  test('get their share also where the second comes when the first has taken them all', { timeout }, async () => {
    // They could share a run, as far as the model goes, but for their shapes: so that a batch's worth of them is taken at once.
    const one = await startTestWorker({ models: { slow: { onnx: slow(), manifest: { maxBatch: 64 } } } });
    const shapes = (i: number) => rounds(...Array<number>(i + 1).fill(MANY_ROUNDS));
    const submissions = await publishAll(one, TASKS, shapes);
    await expect.poll(() => one.worker.observed.heldDeliveries()).toBe(TASKS);
    const other = await one.startAnother();
    await allEnded(one, submissions);
    // Of what the first gives back once it knows how slow they are; it would keep them all.
    expect(Math.min(one.worker.stats().tasks, other.stats().tasks)).toBeGreaterThanOrEqual(TASKS / 20);
    expect(one.worker.stats().tasks + other.stats().tasks).toBe(TASKS);
  });
});

describe('beside hundreds of slow tasks', () => {
  const BACKLOG = 300;

  test('a fast model waits for no run of theirs', async () => {
    const order: string[] = [];
    const observer: WorkerObserver = { ...NO_METRICS, ran: ({ model }) => order.push(model) };
    const one = await startTestWorker({
      models: { slow: { onnx: slow(), manifest: { maxBatch: 1 } }, echo: { onnx: identity('FP32') } },
      slots: 2,
      observer,
    });
    const backlog = await publishAll(one, BACKLOG, () => rounds(1_000_000));
    const states = () => one.worker.observed.tasksInHand().find(({ model }) => model === 'slow');
    await expect.poll(states).toMatchObject({ state: 'RUNNING', tasks: 1 });
    const before = order.length;
    for (let i = 0; i < 5; i += 1)
      expect(await one.predict('echo', row(1, 2, 3, 4))).toMatchObject({ state: 'SUCCEEDED' });
    // Each slow run takes a second or so; five that waited for one would have let five of them by.
    const slowRuns = order.slice(before).filter((model) => model === 'slow').length;
    expect(slowRuns).toBeLessThanOrEqual(1);
    for (const { id } of backlog) await one.store.transition(id, { to: 'CANCELLED', at: Date.now() });
  });

  test('a high one of the same model is next, also where the worker holds many of them', async () => {
    const one = await startTestWorker({ models: { slow: { onnx: slow(), manifest: { maxBatch: 2 } } } });
    const backlog = await publishAll(one, BACKLOG, () => rounds(20_000));
    const begun: string[] = [];
    const high = one.submissionOf('slow');
    for (const { id } of [...backlog, high]) {
      one.store.watch(id, (event) => event !== 'reread' && event.state === 'RUNNING' && begun.push(id));
    }
    await expect.poll(() => begun.length).toBeGreaterThan(4);
    const before = begun.length;
    await one.publish(high, rounds(1), { lane: 'high' });
    await one.ended(high.id);
    // The run that was going on, and what is claimed already, comes first.
    expect(begun.indexOf(high.id) - before).toBeLessThanOrEqual(4);
    expect(one.worker.stats().waiting).toBeGreaterThan(0);
    for (const { id } of backlog) await one.store.transition(id, { to: 'CANCELLED', at: Date.now() });
  });
});
