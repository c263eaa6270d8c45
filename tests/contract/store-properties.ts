import { randomUUID } from 'node:crypto';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { TaskStore } from '../../src/store/store.ts';
import { type Change, REACHED_FROM, type RecordState, type Submission } from '../../src/task/task.ts';

/** A step of a task's life: a creation, or a change. */
type Step =
  | { to: 'created' }
  | { to: RecordState; at: number; attemptsBefore: number; claim: string; takeOver: boolean };

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 1, arbitrary: fc.constant<Step>({ to: 'created' }) },
  {
    weight: 6,
    arbitrary: fc.record({
      // Mostly unfinished states, so that sequences get somewhere before they end.
      to: fc.constantFrom<RecordState>(
        ...[
          'RUNNING',
          'QUEUED',
          'RUNNING',
          'QUEUED',
          'SUCCEEDED',
          'FAILED',
          'CANCELLED',
          'EXPIRED',
          'WITHDRAWN',
        ].filter(isRecordState),
      ),
      at: fc.nat(),
      attemptsBefore: fc.nat(5),
      // Few, so that some are sent again.
      claim: fc.constantFrom('a', 'b'),
      takeOver: fc.boolean(),
    }),
  },
);

function isRecordState(text: string): text is RecordState {
  return Object.hasOwn(REACHED_FROM, text);
}

export function storeProperties(use: () => TaskStore): void {
  test('any sequence of changes leads where the table of transitions says', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 12 }), async (steps) => {
        const model = { name: 'iris', version: '1', fingerprint: 'f00d' };
        const submission: Submission = { id: randomUUID(), owner: 'alice', model, door: 'tensors', submittedAt: 1 };
        const expected = createModel();
        for (const each of steps) {
          if (each.to === 'created') {
            await use().create([submission]);
            expected.create();
          } else {
            const attempts = await use().transition(submission.id, changeOf(each, submission));
            expect(attempts).toBe(expected.change(each));
          }
          const [task] = await use().get([submission.id]);
          expect(task && pick(task)).toEqual(expected.visible());
        }
      }),
      { numRuns: 300 },
    );
  });
}

type ChangeStep = Exclude<Step, { to: 'created' }>;

function changeOf({ to, at, attemptsBefore, claim, takeOver }: ChangeStep, submission: Submission): Change {
  switch (to) {
    case 'RUNNING':
      return { to, at, submission, attemptsBefore, claim, takeOver };
    case 'QUEUED':
      return { to, at, submission, attemptsBefore, ...(!takeOver && { handedBack: claim }) };
    case 'EXPIRED':
      return { to, at, ...(takeOver && { submission }) };
    case 'SUCCEEDED':
      return { to, at, submission, attemptsBefore, result: { outputs: [], runMs: 1, batchSize: 1 } };
    case 'FAILED':
      return { to, at, submission, attemptsBefore, error: { code: 'TIMEOUT', message: 'too long' } };
    default:
      return { to, at };
  }
}

interface Visible {
  state: string;
  attempts: number;
  startedAt: number | undefined;
  completedAt: number | undefined;
}

function pick({ state, attempts, startedAt, completedAt }: Partial<Visible>) {
  return { state, attempts, startedAt, completedAt };
}

/** The table, walked in the plainest way. */
function createModel() {
  let state: RecordState | 'ABSENT' = 'ABSENT';
  let attempts = 0;
  let counted: string | undefined;
  let startedAt: number | undefined;
  let completedAt: number | undefined;
  return {
    create() {
      if (state === 'ABSENT') state = 'QUEUED';
    },
    change({ to, at, attemptsBefore, claim, takeOver }: ChangeStep): number | undefined {
      if (!REACHED_FROM[to].includes(state)) return undefined;
      if (to === 'RUNNING' && state === 'RUNNING' && !takeOver && claim !== counted) return undefined;
      if (to === 'QUEUED' && state === 'RUNNING' && !takeOver && claim !== counted) return undefined;
      if (to === 'EXPIRED' && (attempts > 0 || (state === 'ABSENT' && !takeOver))) return undefined;
      state = to;
      if (to === 'RUNNING') {
        attempts = Math.max(attempts, attemptsBefore) + (claim === counted ? 0 : 1);
        counted = claim;
        startedAt = at;
      } else if (to === 'QUEUED') {
        const isUndone = !takeOver && claim === counted;
        attempts = Math.max(attempts - (isUndone ? 1 : 0), attemptsBefore);
        if (isUndone) counted = undefined;
        startedAt = undefined;
      } else {
        if (to === 'SUCCEEDED' || to === 'FAILED') attempts = Math.max(attempts, attemptsBefore);
        completedAt = at;
      }
      return attempts;
    },
    visible: () =>
      state === 'ABSENT' || state === 'WITHDRAWN' ? undefined : { state, attempts, startedAt, completedAt },
  };
}
