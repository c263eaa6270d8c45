import { expect, test } from 'vitest';
import { encodeMessage } from '../../src/broker/message.ts';
import { predictionQueue } from '../../src/broker/topology.ts';
import { StoreUnavailable } from '../../src/errors.ts';
import { encodeFrame } from '../../src/tensor/tensor-frame.ts';
import { elementsOf } from '../../src/tensor/tensor-values.ts';
import { squares } from '../support/onnx-models.ts';
import { tensor } from '../support/tensors.ts';
import { startTestWorker, type TestWorker } from '../support/worker.ts';

const models = { squares: { onnx: squares() } };
const THREE = encodeFrame(null, [tensor('x', 'INT64', [3n])]);

/** Queues a task whose message says that its inputs are in the store. */
async function publish({ submissionOf, store, broker }: TestWorker, bytes: number, payload?: Uint8Array) {
  const submission = submissionOf('squares');
  const { id } = submission;
  await store.create([submission]);
  if (payload) await store.payloads.put(submission, payload);
  const body = encodeMessage({ submission, inputs: { bytes } });
  await broker.publish(predictionQueue('squares', 'normal'), { id, body, attemptsBefore: 0 });
  return id;
}

test('inputs that are kept in the store are fetched, and gone when the task has ended', async () => {
  const it = await startTestWorker({ models });
  const id = await publish(it, THREE.length, THREE);
  const task = await it.ended(id);
  expect(task.state).toBe('SUCCEEDED');
  expect(task.result?.outputs.map(elementsOf)).toEqual([[9]]);
  expect(await it.store.payloads.get(id)).toBeUndefined();
});

test('a task whose inputs the store has lost, or has others of, ends as FAILED and says so', async () => {
  const it = await startTestWorker({ models });
  const lost = await it.ended(await publish(it, THREE.length));
  expect(lost).toMatchObject({ state: 'FAILED', error: { code: 'INPUTS_LOST' } });
  expect(lost.error?.message).toMatch(/found nothing/);
  const other = await it.ended(await publish(it, THREE.length + 1, THREE));
  expect(other.error?.message).toMatch(new RegExp(`${THREE.length + 1} bytes, found ${THREE.length} bytes`));
});

test('a store that is away while inputs are fetched is waited for: nobody’s attempt', async () => {
  let failures = 3;
  const it = await startTestWorker({
    models,
    disturbPayloads: (payloads) => ({
      ...payloads,
      get: async (id) => {
        if (failures-- > 0) throw new StoreUnavailable('away');
        return payloads.get(id);
      },
    }),
  });
  expect(await it.ended(await publish(it, THREE.length, THREE))).toMatchObject({ state: 'SUCCEEDED', attempts: 1 });
  expect(failures).toBe(-1);
});

test('inputs count towards what a worker holds before they are fetched', async () => {
  const fetching = Promise.withResolvers<void>();
  const go = Promise.withResolvers<void>();
  const it = await startTestWorker({
    models,
    disturbPayloads: (payloads) => ({
      ...payloads,
      get: async (id) => {
        fetching.resolve();
        await go.promise;
        return payloads.get(id);
      },
    }),
  });
  const id = await publish(it, THREE.length, THREE);
  await fetching.promise;
  expect(it.worker.observed.heldBytes()).toBeGreaterThan(THREE.length);
  go.resolve();
  expect(await it.ended(id)).toMatchObject({ state: 'SUCCEEDED' });
  await expect.poll(() => it.worker.observed.heldBytes()).toBe(0);
});

test('a copy that comes while the inputs are fetched shares the run', async () => {
  const go = Promise.withResolvers<void>();
  let fetched = 0;
  const it = await startTestWorker({
    models,
    disturbPayloads: (payloads) => ({
      ...payloads,
      get: async (id) => {
        const payload = await payloads.get(id);
        if (++fetched === 2) go.resolve();
        await go.promise;
        return payload;
      },
    }),
  });
  const submission = it.submissionOf('squares');
  await it.store.create([submission]);
  await it.store.payloads.put(submission, THREE);
  const body = encodeMessage({ submission, inputs: { bytes: THREE.length } });
  const message = { id: submission.id, body, attemptsBefore: 0 };
  for (const _ of [1, 2]) await it.broker.publish(predictionQueue('squares', 'normal'), message);
  expect(await it.ended(submission.id)).toMatchObject({ state: 'SUCCEEDED', attempts: 1 });
  expect(it.worker.stats().runs).toBe(1);
});
