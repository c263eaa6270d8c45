import { randomUUID } from 'node:crypto';
import { expect, test } from 'vitest';
import type { TaskStore } from '../../src/store/store.ts';
import type { Change } from '../../src/task/task.ts';
import { created, failed, newSubmission, running, succeeded } from './store-samples.ts';

type Use = () => TaskStore;

/** What a claim is: one attempt, taken over from whoever may be gone, or undone. */
export function claimTests(use: Use): void {
  test('a claim counts an attempt, and so does the claim of a redelivery whose worker died', async () => {
    const submission = await created(use());
    expect(await use().transition(submission.id, running(submission, 0, 20))).toBe(1);
    expect(await use().transition(submission.id, running(submission, 0, 21))).toBe(2);
    expect(await use().get([submission.id])).toMatchObject([{ state: 'RUNNING', attempts: 2, startedAt: 21 }]);
  });

  test('a claim is one attempt however often it is sent, also where it comes late', async () => {
    const submission = await created(use());
    const [claim, next] = [running(submission), running(submission, 1, 26)];
    for (let i = 0; i < 3; i += 1) expect(await use().transition(submission.id, claim)).toBe(1);
    await use().transition(submission.id, { to: 'QUEUED', at: 25, submission, attemptsBefore: 1 });
    expect(await use().transition(submission.id, claim)).toBe(1);
    for (let i = 0; i < 3; i += 1) expect(await use().transition(submission.id, next)).toBe(2);
    expect(await use().get([submission.id])).toMatchObject([{ state: 'RUNNING', attempts: 2, startedAt: 26 }]);
  });

  test('a claim that brings a lost record back counts once as well', async () => {
    const submission = newSubmission();
    const claim = running(submission, 4);
    expect([await use().transition(submission.id, claim), await use().transition(submission.id, claim)]).toEqual([
      5, 5,
    ]);
  });

  test('a claim that takes nothing over is refused while the task runs, and is one attempt where it does not', async () => {
    const submission = await created(use());
    const [first, second] = [running(submission), { ...running(submission), takeOver: false }];
    expect(await use().transition(submission.id, second)).toBe(1);
    expect(await use().transition(submission.id, { ...first, takeOver: false })).toBeUndefined();
    // Its own, sent again because the answer was lost, is no second one.
    expect(await use().transition(submission.id, second)).toBe(1);
    await use().transition(submission.id, { to: 'QUEUED', at: 25, submission, attemptsBefore: 1 });
    expect(await use().transition(submission.id, { ...first, takeOver: false })).toBe(2);
    const lost = newSubmission();
    expect(await use().transition(lost.id, { ...running(lost, 1), takeOver: false })).toBe(2);
  });

  test('a claim that is handed back is no attempt, however often that is said', async () => {
    const submission = await created(use());
    await use().transition(submission.id, running(submission));
    await use().transition(submission.id, { to: 'QUEUED', at: 25, submission, attemptsBefore: 1 });
    const claim = running(submission, 1);
    expect(await use().transition(submission.id, claim)).toBe(2);
    const back: Change = { to: 'QUEUED', at: 30, submission, attemptsBefore: 1, handedBack: claim.claim };
    for (let i = 0; i < 3; i += 1) expect(await use().transition(submission.id, back)).toBe(1);
    expect(await use().get([submission.id])).toMatchObject([{ state: 'QUEUED', attempts: 1 }]);
    expect(await use().transition(submission.id, running(submission, 1))).toBe(2);
  });

  test('a claim that somebody else has taken over is not handed back, and theirs stays', async () => {
    const submission = await created(use());
    const [mine, theirs] = [running(submission), running(submission)];
    for (const claim of [mine, theirs]) await use().transition(submission.id, claim);
    const back: Change = { to: 'QUEUED', at: 30, submission, attemptsBefore: 0, handedBack: mine.claim };
    expect(await use().transition(submission.id, back)).toBeUndefined();
    expect(await use().get([submission.id])).toMatchObject([{ state: 'RUNNING', attempts: 2 }]);
    expect(await use().transition(submission.id, { ...back, handedBack: theirs.claim })).toBe(1);
    const lost = newSubmission();
    expect(await use().transition(lost.id, { ...back, submission: lost })).toBe(0);
  });

  test.each([succeeded, failed])(
    'an end brings the attempts of a lost record back, and takes none away (%o)',
    async (end) => {
      const [lost, tried] = [newSubmission(), await created(use())];
      for (const claim of [running(tried), running(tried)]) await use().transition(tried.id, claim);
      for (const submission of [lost, tried]) {
        expect(await use().transition(submission.id, { ...end(submission), attemptsBefore: 1 })).toBe(
          submission === lost ? 1 : 2,
        );
      }
    },
  );

  test('every change makes the revision greater, and a refused one leaves it', async () => {
    const submission = await created(use());
    const revision = async () => (await use().get([submission.id]))[0]?.revision;
    expect(await revision()).toBe(1);
    await use().transition(submission.id, running(submission));
    expect(await revision()).toBe(2);
    await use().transition(submission.id, { ...running(submission), takeOver: false });
    expect(await revision()).toBe(2);
  });
}

/** When a task expires: only if nobody has begun it. */
export function expiryTests(use: Use): void {
  test('a task that was begun does not expire, not even once it waits again', async () => {
    const submission = await created(use());
    await use().transition(submission.id, running(submission));
    expect(await use().transition(submission.id, { to: 'EXPIRED', at: 40, submission })).toBeUndefined();
    await use().transition(submission.id, { to: 'QUEUED', at: 50, submission, attemptsBefore: 1 });
    expect(await use().transition(submission.id, { to: 'EXPIRED', at: 60, submission })).toBeUndefined();
  });

  test('a task whose record was lost expires by its message, and without it leaves no record', async () => {
    const submission = newSubmission({ expiresAt: 30 });
    expect(await use().transition(submission.id, { to: 'EXPIRED', at: 40 })).toBeUndefined();
    expect(await use().transition(submission.id, { to: 'EXPIRED', at: 40, submission })).toBe(0);
    expect(await use().get([submission.id])).toMatchObject([{ ...submission, state: 'EXPIRED', completedAt: 40 }]);
    expect(await use().transition(submission.id, running(submission))).toBeUndefined();
    expect(await use().get([randomUUID()])).toEqual([undefined]);
  });
}
