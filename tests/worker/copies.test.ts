import { randomUUID } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import type { Broker, Delivery } from '../../src/broker/broker.ts';
import { createMemoryBroker } from '../../src/broker/memory/memory-broker.ts';
import { predictionQueue } from '../../src/broker/topology.ts';
import type { Log } from '../../src/process/log.ts';
import type { Submission } from '../../src/task/task.ts';
import { RETURNS_MAX } from '../../workers/tasks/absent-model.ts';
import { identity, slow } from '../support/onnx-models.ts';
import { tensor } from '../support/tensors.ts';
import { startTestWorker, type TestWorker } from '../support/worker.ts';

const COPIES = 100;
const rounds = (count: number) => [tensor('rounds', 'INT64', [BigInt(count)])];
const row = (...elements: number[]) => [tensor('x', 'FP32', elements, [1, elements.length])];

/** A broker that asks about each delivery before it hands it out. */
function onDelivery(log: Log, ask: (delivery: Delivery) => unknown): Broker {
  const broker = createMemoryBroker(log);
  return {
    ...broker,
    consume: (options, handler) =>
      broker.consume(options, (delivery) => {
        ask(delivery);
        return handler(delivery);
      }),
  };
}

/** A broker that says of each delivery that it was given out before. */
const redelivering = (log: Log) => onDelivery(log, (delivery) => Object.assign(delivery, { redelivered: true }));

/** The states that a task is published in. */
function statesOf({ store }: TestWorker, { id }: Submission): string[] {
  const states: string[] = [];
  store.watch(id, (event) => event !== 'reread' && states.push(event.state));
  return states;
}

/** How often the worker's log says this. */
const said = ({ log }: TestWorker, what: string) => log.lines().filter(({ message }) => message.includes(what)).length;

/** Waits until every message is settled: none waits, none is held, none is on its way back. */
async function settled(one: TestWorker, queue: string): Promise<void> {
  await expect.poll(() => one.worker.observed.heldDeliveries(), { timeout: 30_000 }).toBe(0);
  await expect.poll(() => one.broker.depth(queue)).toBe(0);
}

describe('a hundred copies of one message', () => {
  test.each([1, 16])('that one worker gets are one run and one end (maxBatch %i)', async (maxBatch) => {
    const one = await startTestWorker({ models: { slow: { onnx: slow(), manifest: { maxBatch } } } });
    const submission = one.submissionOf('slow');
    const states = statesOf(one, submission);
    for (let i = 0; i < COPIES; i += 1) await one.publish(submission, rounds(100_000));
    expect(await one.ended(submission.id)).toMatchObject({ state: 'SUCCEEDED', attempts: 1 });
    await one.publish(submission, rounds(100_000));
    await settled(one, predictionQueue('slow', 'normal'));
    expect(states).toEqual(['RUNNING', 'SUCCEEDED']);
    expect(one.worker.stats()).toMatchObject({ runs: 1, tasks: 1 });
  });

  test('that come by both lanes, while it waits, is claimed and runs, are one run and one end', async () => {
    const one = await startTestWorker({ models: { slow: { onnx: slow(), manifest: { maxBatch: 1 } } } });
    const [before, submission] = [one.submissionOf('slow'), one.submissionOf('slow')];
    const states = statesOf(one, submission);
    await one.publish(before, rounds(100_000));
    for (let i = 0; i < COPIES; i += 1) {
      await one.publish(submission, rounds(100_000), { lane: i % 2 ? 'high' : 'normal' });
      if (i % 10 === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    }
    expect(await one.ended(submission.id)).toMatchObject({ state: 'SUCCEEDED', attempts: 1 });
    for (const lane of ['normal', 'high'] as const) await settled(one, predictionQueue('slow', lane));
    expect(states).toEqual(['RUNNING', 'SUCCEEDED']);
    expect(one.worker.stats().tasks).toBe(2);
  });

  test('that two workers get are one run and one end, and none is left', async () => {
    let backs = 0;
    const openBroker = (log: Log) => onDelivery(log, ({ returnsBefore }) => (backs += Math.min(1, returnsBefore)));
    const one = await startTestWorker({ models: { slow: { onnx: slow(), manifest: { maxBatch: 1 } } }, openBroker });
    const other = await one.startAnother();
    const submission = one.submissionOf('slow');
    const states = statesOf(one, submission);
    for (let i = 0; i < COPIES; i += 1) await one.publish(submission, rounds(200_000));
    expect(await one.ended(submission.id)).toMatchObject({ state: 'SUCCEEDED', attempts: 1 });
    // Those that were returned meanwhile come back, and are dropped.
    await expect.poll(() => backs, { timeout: 10_000 }).toBe(said(one, 'second message returned'));
    await settled(one, predictionQueue('slow', 'normal'));
    await expect.poll(() => other.observed.heldDeliveries()).toBe(0);
    expect(states).toEqual(['RUNNING', 'SUCCEEDED']);
    expect(one.worker.stats().tasks + other.stats().tasks).toBe(1);
  });
});

describe('a message of a task that another worker runs', () => {
  const claimElsewhere = async ({ store }: TestWorker, submission: Submission) => {
    const claim = { to: 'RUNNING', at: Date.now(), submission, attemptsBefore: 0, claim: randomUUID() } as const;
    await store.transition(submission.id, { ...claim, takeOver: false });
  };

  test('is returned if it is the first time that it is given out, and dropped once the task has ended', async () => {
    const one = await startTestWorker({ models: { echo: { onnx: identity('FP32') } } });
    const submission = one.submissionOf('echo');
    await claimElsewhere(one, submission);
    await one.publish(submission, row(1, 2, 3, 4));
    const returned = () => one.log.lines().filter(({ message }) => message.includes('second message returned'));
    await expect.poll(returned).toHaveLength(1);
    const error = { code: 'MODEL_ERROR', message: 'elsewhere' } as const;
    await one.store.transition(submission.id, { to: 'FAILED', at: Date.now(), submission, error });
    await expect
      .poll(() => one.log.lines().some(({ message }) => message.includes('already terminal')), { timeout: 5_000 })
      .toBe(true);
    expect(one.worker.stats().tasks).toBe(0);
    expect(returned()[0]?.fields).toMatchObject({ taskId: submission.id, returnsBefore: 0 });
  });

  test('is taken over if it was given out before: that worker may have died', async () => {
    const one = await startTestWorker({ models: { echo: { onnx: identity('FP32') } }, openBroker: redelivering });
    const submission = one.submissionOf('echo');
    await claimElsewhere(one, submission);
    await one.publish(submission, row(1, 2, 3, 4));
    expect(await one.ended(submission.id)).toMatchObject({ state: 'SUCCEEDED', attempts: 2 });
  });

  test('is taken over if it comes again, given out before, while the store is asked', async () => {
    let deliveries = 0;
    const one: TestWorker = await startTestWorker({
      models: { echo: { onnx: identity('FP32') } },
      openBroker: (log) =>
        onDelivery(log, (delivery) => {
          deliveries += 1;
          Object.assign(delivery, { redelivered: deliveries === 2 });
        }),
      disturb: (store) => ({
        ...store,
        transition: async (id, change) => {
          const answer = await store.transition(id, change);
          if (change.to !== 'RUNNING' || change.takeOver) return answer;
          await one.publish(change.submission, row(1, 2, 3, 4));
          await expect.poll(() => said(one, 'task in hand delivered again')).toBe(1);
          return answer;
        },
      }),
    });
    const submission = one.submissionOf('echo');
    await claimElsewhere(one, submission);
    await one.publish(submission, row(1, 2, 3, 4));
    expect(await one.ended(submission.id)).toMatchObject({ state: 'SUCCEEDED', attempts: 2 });
    expect(said(one, 'second message returned')).toBe(0);
  });

  test('is taken over once it was returned often enough, whatever the broker says', async () => {
    const one = await startTestWorker({ models: { echo: { onnx: identity('FP32') } } });
    const submission = one.submissionOf('echo');
    await claimElsewhere(one, submission);
    await one.publish(submission, row(1, 2, 3, 4), { returnsBefore: RETURNS_MAX });
    expect(await one.ended(submission.id)).toMatchObject({ state: 'SUCCEEDED', attempts: 2 });
  });

  test('for a model that is not here waits again if it was given out before: who has the model may begin it', async () => {
    const one = await startTestWorker({ models: { echo: { onnx: identity('FP32') } }, openBroker: redelivering });
    const submission = one.submissionOf('echo');
    const elsewhere = { ...submission, model: { ...submission.model, version: '9', fingerprint: 'f00d' } };
    await claimElsewhere(one, elsewhere);
    await one.publish(elsewhere, row(1, 2, 3, 4));
    const head = async () => (await one.store.heads([elsewhere.id]))[0];
    await expect.poll(head).toMatchObject({ state: 'QUEUED', attempts: 1 });
  });

  test('has had its attempts: it ends, after exactly those', async () => {
    const manifest = { maxAttempts: 3 };
    const one = await startTestWorker({
      models: { echo: { manifest, onnx: identity('FP32') } },
      openBroker: redelivering,
    });
    const submission = one.submissionOf('echo');
    for (let i = 0; i < 3; i += 1) {
      const claim = { to: 'RUNNING', at: Date.now(), submission, attemptsBefore: 0, claim: randomUUID() } as const;
      await one.store.transition(submission.id, { ...claim, takeOver: true });
    }
    await one.publish(submission, row(1, 2, 3, 4));
    expect(await one.ended(submission.id)).toMatchObject({
      state: 'FAILED',
      attempts: 3,
      error: { code: 'WORKER_LOST', message: 'each worker that ran the task was lost (3 attempts of 3)' },
    });
    expect(one.worker.stats().tasks).toBe(0);
  });
});
