import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { TaskStore } from '../../src/store/store.ts';
import type { Change } from '../../src/task/task.ts';
import { bytesOf, DATATYPES, STORAGE, type Tensor } from '../../src/tensor/tensor.ts';
import { claimTests, expiryTests } from './store-claims.ts';
import { ownerTests } from './store-owners.ts';
import { storeProperties } from './store-properties.ts';
import { created, failed, HOUR_MS, newSubmission, type OpenStore, running, succeeded } from './store-samples.ts';
import { lifetimeTests, watchTests } from './store-watching.ts';

/** What every task store promises. */
export function storeContract(name: string, open: OpenStore): void {
  describe(`task store: ${name}`, () => {
    let store: TaskStore;
    beforeAll(async () => {
      store = await open({ resultTtlMs: HOUR_MS });
    });
    afterAll(() => store.close());
    const use = () => store;

    recordTests(use);
    ownerTests(use);
    transitionTests(use);
    claimTests(use);
    expiryTests(use);
    endingTests(use);
    watchTests(use);
    lifetimeTests(open);
    storeProperties(use);
  });
}

type Use = () => TaskStore;

function recordTests(use: Use): void {
  test('a created task is QUEUED and is found with all that it was submitted with', async () => {
    const submission = await created(use(), { owner: 'bob "the" builder, ünï' });
    expect(await use().get([submission.id])).toEqual([{ ...submission, state: 'QUEUED', attempts: 0, revision: 1 }]);
    expect(await use().heads([submission.id])).toMatchObject([
      { owner: submission.owner, state: 'QUEUED', attempts: 0 },
    ]);
  });

  test('tasks come in the order asked, with a gap for one that is unknown', async () => {
    const [a, b] = [newSubmission(), newSubmission()];
    await use().create([a, b]);
    const found = await use().get([b.id, randomUUID(), a.id, b.id]);
    expect(found.map((task) => task?.id)).toEqual([b.id, undefined, a.id, b.id]);
    expect(await use().heads([randomUUID()])).toEqual([undefined]);
    expect(await use().get([])).toEqual([]);
  });

  test('creating a task that exists leaves it as it is', async () => {
    const submission = await created(use());
    await use().transition(submission.id, running(submission));
    await use().create([{ ...submission, owner: 'mallory' }]);
    expect(await use().heads([submission.id])).toMatchObject([{ owner: 'alice', state: 'RUNNING', attempts: 1 }]);
  });

  test('a thousand tasks are created, claimed and read at once', async () => {
    const submissions = Array.from({ length: 1_000 }, () => newSubmission());
    await use().create(submissions);
    const claims = await Promise.all(submissions.map((each) => use().transition(each.id, running(each))));
    expect(new Set(claims)).toEqual(new Set([1]));
    const tasks = await use().get(submissions.map(({ id }) => id));
    expect(tasks.every((task) => task?.state === 'RUNNING')).toBe(true);
  });

  test('more ids than a call may have are refused as a bug', async () => {
    const ids = Array.from({ length: 1_001 }, () => randomUUID());
    await expect(use().get(ids)).rejects.toThrow('at most 1000 ids');
    await expect(use().heads(ids)).rejects.toThrow('at most 1000 ids');
  });
}

function transitionTests(use: Use): void {
  test('a retried task is QUEUED again, not started, with its attempts counted', async () => {
    const submission = await created(use());
    await use().transition(submission.id, running(submission));
    const retry: Change = { to: 'QUEUED', at: 25, submission, attemptsBefore: 1 };
    expect(await use().transition(submission.id, retry)).toBe(1);
    expect(await use().get([submission.id])).toEqual([{ ...submission, state: 'QUEUED', attempts: 1, revision: 3 }]);
    expect(await use().transition(submission.id, running(submission, 1))).toBe(2);
  });

  test('a change that was carried out and is sent again, because its answer was lost, is no refusal', async () => {
    const submission = await created(use());
    await use().transition(submission.id, running(submission));
    const retry: Change = { to: 'QUEUED', at: 25, submission, attemptsBefore: 1 };
    expect([await use().transition(submission.id, retry), await use().transition(submission.id, retry)]).toEqual([
      1, 1,
    ]);
    expect(await use().get([submission.id])).toEqual([{ ...submission, state: 'QUEUED', attempts: 1, revision: 4 }]);
  });

  test('a store that lost the record gets it back from the message, attempts included', async () => {
    const [claimed, retried, ended] = [newSubmission(), newSubmission(), newSubmission()];
    expect(await use().transition(claimed.id, running(claimed, 4))).toBe(5);
    expect(await use().transition(retried.id, { to: 'QUEUED', at: 1, submission: retried, attemptsBefore: 2 })).toBe(2);
    expect(await use().transition(ended.id, failed(ended))).toBe(0);
    const tasks = await use().get([claimed.id, retried.id, ended.id]);
    expect(tasks).toMatchObject([
      { ...claimed, state: 'RUNNING', attempts: 5 },
      { ...retried, state: 'QUEUED', attempts: 2 },
      { ...ended, state: 'FAILED', attempts: 0 },
    ]);
  });

  test('what a task was submitted with never changes, whatever a message says', async () => {
    const submission = await created(use());
    await use().transition(submission.id, running({ ...submission, owner: 'mallory' }));
    expect(await use().get([submission.id])).toMatchObject([{ ...submission, state: 'RUNNING' }]);
  });

  test('of many that end a task at once exactly one succeeds', async () => {
    const submission = await created(use());
    const changes = Array.from({ length: 20 }, (_, i): Change => {
      return i % 2 === 0 ? { to: 'CANCELLED', at: i } : succeeded(submission, [], i);
    });
    const outcomes = await Promise.all(changes.map((change) => use().transition(submission.id, change)));
    expect(outcomes.filter((attempts) => attempts !== undefined)).toHaveLength(1);
  });

  test('a withdrawn submission is found by nobody, and its message is refused', async () => {
    const submission = await created(use());
    expect(await use().transition(submission.id, { to: 'WITHDRAWN', at: 20 })).toBe(0);
    expect(await use().get([submission.id])).toEqual([undefined]);
    expect(await use().heads([submission.id])).toEqual([undefined]);
    expect(await use().transition(submission.id, running(submission))).toBeUndefined();
    await use().create([submission]);
    expect(await use().get([submission.id])).toEqual([undefined]);
  });

  test('a submission whose record was never written can be withdrawn as well', async () => {
    const submission = newSubmission();
    expect(await use().transition(submission.id, { to: 'WITHDRAWN', at: 20 })).toBe(0);
    expect(await use().transition(submission.id, running(submission))).toBeUndefined();
    expect(await use().get([submission.id])).toEqual([undefined]);
  });

  test('a task that the store does not know cannot be cancelled or expire', async () => {
    expect(await use().transition(randomUUID(), { to: 'CANCELLED', at: 1 })).toBeUndefined();
    expect(await use().transition(randomUUID(), { to: 'EXPIRED', at: 1 })).toBeUndefined();
  });
}

function endingTests(use: Use): void {
  test('outputs of every datatype come back byte for byte', async () => {
    const submission = await created(use());
    const outputs = DATATYPES.flatMap((datatype): Tensor[] => {
      const bytes = (count: number) => Uint8Array.from({ length: count * STORAGE[datatype].bytes }, (_, i) => 255 - i);
      const text = (count: number) => Array.from({ length: count }, (_, i) => `${i} "ß" \u{1F33B}\0\r\n`);
      const data = (count: number) => (datatype === 'STRING' ? text(count) : bytes(count));
      return [
        { name: `${datatype} matrix`, datatype, shape: [2, 3], data: data(6) },
        { name: `${datatype} scalar`, datatype, shape: [], data: data(1) },
        { name: `${datatype} nothing`, datatype, shape: [0, 7], data: data(0) },
      ];
    });
    await use().transition(submission.id, running(submission));
    expect(await use().transition(submission.id, succeeded(submission, outputs))).toBe(1);
    const [task] = await use().get([submission.id]);
    expect(task).toMatchObject({ state: 'SUCCEEDED', attempts: 1, startedAt: 20, completedAt: 30 });
    expect(task?.result).toMatchObject({ runMs: 1.5, batchSize: 3 });
    expect(task?.result?.outputs.map(plain)).toEqual(outputs.map(plain));
  });

  test('an output of several megabytes comes back whole', async () => {
    const submission = await created(use());
    const data = bytesOf(Float64Array.from({ length: 500_000 }, (_, i) => Math.sin(i)));
    const outputs: Tensor[] = [{ name: 'y', datatype: 'FP64', shape: [500, 1_000], data }];
    await use().transition(submission.id, succeeded(submission, outputs));
    const [task] = await use().get([submission.id]);
    const [output] = task?.result?.outputs ?? [];
    expect(output?.data instanceof Uint8Array && Buffer.from(output.data).equals(data)).toBe(true);
    expect(await use().heads([submission.id])).toMatchObject([{ owner: 'alice', state: 'SUCCEEDED', attempts: 0 }]);
  });

  test('a failed task says why', async () => {
    const submission = await created(use());
    await use().transition(submission.id, running(submission));
    await use().transition(submission.id, failed(submission));
    const error = { code: 'MODEL_ERROR', message: 'the model said "no"' };
    const expected = {
      ...submission,
      state: 'FAILED',
      attempts: 1,
      revision: 3,
      startedAt: 20,
      completedAt: 30,
      error,
    };
    expect(await use().get([submission.id])).toEqual([expected]);
  });

  test.each(['CANCELLED', 'EXPIRED'] as const)('a task that was %s says when', async (to) => {
    const submission = await created(use());
    await use().transition(submission.id, { to, at: 40 });
    expect(await use().get([submission.id])).toEqual([
      { ...submission, state: to, attempts: 0, revision: 2, completedAt: 40 },
    ]);
  });

  test('a terminal state refuses every change and stays as it was', async () => {
    const submission = await created(use());
    await use().transition(submission.id, failed(submission));
    const before = await use().get([submission.id]);
    const changes: Change[] = [
      running(submission, 9),
      { to: 'QUEUED', at: 99, submission, attemptsBefore: 9 },
      succeeded(submission),
      failed(submission, 99),
      { to: 'CANCELLED', at: 99 },
      { to: 'EXPIRED', at: 99 },
      { to: 'WITHDRAWN', at: 99 },
    ];
    for (const change of changes) expect(await use().transition(submission.id, change)).toBeUndefined();
    expect(await use().get([submission.id])).toEqual(before);
  });
}

function plain({ data, ...described }: Tensor) {
  return { ...described, data: Array.isArray(data) ? data : Buffer.from(data).toString('hex') };
}
