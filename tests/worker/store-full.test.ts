import { describe, expect, test } from 'vitest';
import { StoreFull } from '../../src/errors.ts';
import type { TaskStore } from '../../src/store/store.ts';
import { identity } from '../support/onnx-models.ts';
import { tensor } from '../support/tensors.ts';
import { startTestWorker } from '../support/worker.ts';

const row = (...elements: number[]) => [tensor('x', 'FP32', elements, [1, elements.length])];

describe('a store that is full', () => {
  /** Has no room for some of the changes of one task. */
  const fullFor =
    (isRefused: (id: string, to: string) => boolean) =>
    (store: TaskStore): TaskStore => ({
      ...store,
      transition: async (id, change) => {
        if (isRefused(id, change.to)) throw new StoreFull('no room for this');
        return store.transition(id, change);
      },
    });

  test('ends a task whose result does not fit as FAILED, with its reason, and the worker goes on', async () => {
    let refused = '';
    const { predict, submissionOf, publish, ended, store } = await startTestWorker({
      models: { echo: { onnx: identity('FP32') } },
      disturb: fullFor((id, to) => id === refused && to === 'SUCCEEDED'),
    });
    const submission = submissionOf('echo');
    refused = submission.id;
    await store.create([submission]);
    await publish(submission, row(1, 2, 3, 4));
    const task = await ended(submission.id);
    expect(task).toMatchObject({ state: 'FAILED', attempts: 1, error: { code: 'STORE_FULL' } });
    expect(task.error?.message).toContain('no room for this');
    expect(await predict('echo', row(1, 2, 3, 4))).toMatchObject({ state: 'SUCCEEDED' });
  });

  test('for one task, whatever becomes of it, keeps no other waiting', async () => {
    let refused = '';
    const { predict, submissionOf, publish, ended, store } = await startTestWorker({
      models: { echo: { onnx: identity('FP32') } },
      disturb: fullFor((id, to) => id === refused && to !== 'RUNNING'),
    });
    const submission = submissionOf('echo');
    refused = submission.id;
    await store.create([submission]);
    const begun = new Promise((resolve) => store.watch(submission.id, resolve));
    await publish(submission, row(1, 2, 3, 4));
    await begun;
    for (let i = 0; i < 3; i++) expect(await predict('echo', row(1, 2, 3, 4))).toMatchObject({ state: 'SUCCEEDED' });
    expect(await store.heads([submission.id])).toMatchObject([{ state: 'RUNNING' }]);
    refused = '';
    expect(await ended(submission.id)).toMatchObject({ state: 'SUCCEEDED' });
  });
});
