import { randomUUID } from 'node:crypto';
import { expect, test } from 'vitest';
import { encodeMessage } from '../../src/broker/message.ts';
import { DEAD_LETTER_QUEUE, predictionQueue } from '../../src/broker/topology.ts';
import type { Submission } from '../../src/task/task.ts';
import { RETURNS_MAX } from '../../workers/tasks/absent-model.ts';
import { identity } from '../support/onnx-models.ts';
import { tensor } from '../support/tensors.ts';
import { startTestWorker, type TestWorker } from '../support/worker.ts';

const inputs = [tensor('x', 'FP32', [1, 2, 3, 4], [1, 4])];
const queue = predictionQueue('echo', 'normal');

const start = () => startTestWorker({ models: { echo: { onnx: identity('FP32'), manifest: { maxAttempts: 2 } } } });

/** What RabbitMQ does with a message that it has delivered too often. */
async function deadLetter({ broker }: TestWorker, submission: Submission, counts = {}): Promise<void> {
  const body = encodeMessage({ submission, inputs });
  await broker.publish(DEAD_LETTER_QUEUE, { id: submission.id, body, attemptsBefore: 0, ...counts });
}

async function settled(one: TestWorker, message: RegExp): Promise<void> {
  const found = () => one.log.lines().filter((line) => message.test(line.message));
  await expect.poll(() => found().length).toBe(1);
  expect(await one.broker.depth(DEAD_LETTER_QUEUE)).toBe(0);
}

test('a message that nobody can read is dropped, told, and ends the task that it names', async () => {
  const one = await start();
  const [known, unknown] = [one.submissionOf('echo'), randomUUID()];
  await one.store.create([known]);
  for (const id of [known.id, unknown]) {
    await one.broker.publish(queue, { id, body: Buffer.from('no frame'), attemptsBefore: 0 });
  }
  expect(await one.ended(known.id)).toMatchObject({
    state: 'FAILED',
    error: { code: 'MODEL_ERROR', message: 'no worker could read the message of the task' },
  });
  const told = () => one.log.lines('error').filter(({ message }) => message.includes('no prediction message'));
  await expect.poll(() => told().map(({ fields }) => fields['taskId'])).toEqual([known.id, unknown]);
  expect(await one.predict('echo', inputs)).toMatchObject({ state: 'SUCCEEDED' });
  expect([await one.broker.depth(queue), await one.broker.depth(DEAD_LETTER_QUEUE)]).toEqual([0, 0]);
  expect(await one.store.get([unknown])).toEqual([undefined]);
});

test('an innocent goes back, with the attempts that it had', async () => {
  const one = await start();
  const submission = one.submissionOf('echo');
  const claim = {
    to: 'RUNNING',
    at: Date.now(),
    submission,
    attemptsBefore: 0,
    claim: 'lost',
    takeOver: false,
  } as const;
  await one.store.transition(submission.id, claim);
  await deadLetter(one, submission);
  await settled(one, /dead letter returned/);
  expect(await one.store.heads([submission.id])).toMatchObject([{ state: 'QUEUED', attempts: 1 }]);
});

test.each([
  ['the store', 2, { attemptsBefore: 0 }],
  ['the message', 0, { attemptsBefore: 2 }],
])('a task whose attempts are used up, as %s says, ends as WORKER_LOST', async (_, claims, counts) => {
  const one = await start();
  const submission = one.submissionOf('echo');
  for (let i = 0; i < claims; i += 1) {
    const claim = { to: 'RUNNING', at: Date.now(), submission, attemptsBefore: 0, claim: randomUUID() } as const;
    await one.store.transition(submission.id, { ...claim, takeOver: true });
  }
  await deadLetter(one, submission, counts);
  expect(await one.ended(submission.id)).toMatchObject({
    state: 'FAILED',
    error: { code: 'WORKER_LOST', message: 'each worker that ran the task was lost (2 attempts of 2)' },
  });
});

test('a task that came back too often ends, and one of a model that is not here has the attempts of any', async () => {
  const one = await start();
  const [often, absent, worn] = [one.submissionOf('echo'), one.submissionOf('echo'), one.submissionOf('echo')];
  await deadLetter(one, often, { returnsBefore: RETURNS_MAX });
  expect(await one.ended(often.id)).toMatchObject({ state: 'FAILED', error: { code: 'WORKER_LOST' } });
  const elsewhere = { name: 'elsewhere', version: '1', fingerprint: 'f' };
  await deadLetter(one, { ...absent, model: elsewhere }, { attemptsBefore: 2 });
  await settled(one, /dead letter returned/);
  await deadLetter(one, { ...worn, model: elsewhere }, { attemptsBefore: 3 });
  expect(await one.ended(worn.id)).toMatchObject({ state: 'FAILED', error: { code: 'WORKER_LOST' } });
});

test('a task that has ended is left as it is', async () => {
  const one = await start();
  const submission = one.submissionOf('echo');
  await one.store.create([submission]);
  await one.store.transition(submission.id, { to: 'CANCELLED', at: Date.now() });
  await deadLetter(one, submission);
  await expect.poll(() => one.broker.depth(DEAD_LETTER_QUEUE)).toBe(0);
  expect(await one.predict('echo', inputs)).toMatchObject({ state: 'SUCCEEDED' });
  expect(await one.store.heads([submission.id])).toMatchObject([{ state: 'CANCELLED', attempts: 0 }]);
  expect(one.log.lines('error')).toEqual([]);
});
