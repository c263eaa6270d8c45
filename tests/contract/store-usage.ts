import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { OpenedStore } from '../../src/open-store.ts';
import { allocatedBytes, RECORD_BYTES } from '../../src/store/room.ts';
import { effectOf } from '../../src/task/record.ts';
import { type Change, isTerminal, REACHED_FROM, type RecordState, type Submission } from '../../src/task/task.ts';
import { failed, HOUR_MS, newSubmission, running, succeeded } from './store-samples.ts';

/** A store, and the bytes that are counted for an owner. A store in memory counts exactly, so that those of the one owner that there is are all. */
export interface CountedStore extends Pick<OpenedStore, 'store' | 'payloads' | 'close'> {
  stored(owner: string): Promise<number>;
}

/** With the header 5,120, the border between two sizes of allocations. */
const INPUT_BYTES = 5_104;
const STEPS = ['create', 'inputs', 'claim', 'retry', 'succeed', 'fail', 'cancel', 'expire', 'withdraw'] as const;
type Step = (typeof STEPS)[number];

/** What every store promises of what it counts. */
export function storeUsage(name: string, open: () => Promise<CountedStore>): void {
  describe(`what is counted in a store: ${name}`, () => {
    let opened: CountedStore;
    beforeAll(async () => {
      opened = await open();
    });
    afterAll(() => opened.close());

    test('whatever becomes of tasks, records, inputs and results count for as long as they are kept', async () => {
      let before = 0;
      let run = 0;
      const step = fc.tuple(fc.constantFrom(...STEPS), fc.nat(2));
      await fc.assert(
        fc.asyncProperty(fc.array(step, { maxLength: 15 }), fc.string(), async (steps, text) => {
          // Nobody else's in Redis; in memory all is counted together.
          const owner = `${name} ${run++} ${text}`;
          const submissions = [0, 1, 2].map(() => newSubmission({ owner, submittedAt: Date.now() }));
          const expected = submissions.map(createExpected);
          for (const [each, i] of steps) {
            const [submission, model] = [submissions[i], expected[i]];
            if (!submission || !model) throw new Error('expected three tasks');
            if (model.follow(each)) await carryOut(opened, each, submission);
          }
          const sum = expected.reduce((bytes, model) => bytes + model.bytes(), 0);
          const stored = await opened.stored(owner);
          expect(stored - (name === 'memory' ? before : 0)).toBe(sum);
          if (name === 'memory') before = stored;
        }),
        { numRuns: 150 },
      );
    });

    test('changes of many tasks and owners at once count for the right ones', async () => {
      const owners = ['x|y', 'x', '"owner":"x","model":'].map((each) => `${each} ${Math.random()}`);
      const submissions = owners.flatMap((owner) =>
        Array.from({ length: 40 }, () => newSubmission({ owner, submittedAt: Date.now() })),
      );
      const before = await opened.stored(owners[0] ?? '');
      await opened.store.create(submissions);
      const some = submissions.filter((_, i) => i % 2 === 0);
      await Promise.all(some.map((each) => opened.store.transition(each.id, succeeded(each, RESULT))));
      const of = (records: number) => records * RECORD_BYTES + (records / 2) * END_BYTES;
      const stored = await Promise.all(owners.map(opened.stored));
      const all = name === 'memory' ? of(120) : of(40);
      for (const each of stored) expect(each - before).toBe(all);
    });
  });
}

const RESULT = [{ name: 'y', datatype: 'UINT8' as const, shape: [7_000], data: new Uint8Array(7_000) }];
const END_BYTES = endBytes(succeeded(newSubmission(), RESULT));
const ERROR_BYTES = endBytes(failed(newSubmission()));

function endBytes(change: Change): number {
  return allocatedBytes(effectOf(change, HOUR_MS).end?.length ?? 0);
}

async function carryOut({ store, payloads }: CountedStore, step: Step, of: Submission): Promise<void> {
  const { id } = of;
  if (step === 'create') await store.create([of]);
  else if (step === 'inputs') await payloads.put(of, Buffer.alloc(INPUT_BYTES));
  else await store.transition(id, changeOf(step, of));
}

function changeOf(step: Exclude<Step, 'create' | 'inputs'>, of: Submission): Change {
  const at = Date.now();
  switch (step) {
    case 'claim':
      return running(of);
    case 'retry':
      return { to: 'QUEUED', at, submission: of, attemptsBefore: 0 };
    case 'succeed':
      return succeeded(of, RESULT);
    case 'fail':
      return failed(of);
    case 'cancel':
      return { to: 'CANCELLED', at };
    case 'expire':
      return { to: 'EXPIRED', at };
    case 'withdraw':
      return { to: 'WITHDRAWN', at };
  }
}

/** What one task counts, followed in the plainest way. */
function createExpected() {
  let state: RecordState | 'ABSENT' = 'ABSENT';
  let isBegun = false;
  let inputs = 0;
  let end = 0;
  const reach = (to: RecordState) => {
    if (!REACHED_FROM[to].includes(state) || (to === 'EXPIRED' && (isBegun || state === 'ABSENT'))) return false;
    state = to;
    if (isTerminal(to)) inputs = 0;
    return true;
  };
  return {
    /** `false` for what is not to be tried: only what was created is withdrawn, and a tombstone without a submission is nobody's. */
    follow(step: Step): boolean {
      if (step === 'withdraw' && state === 'ABSENT') return false;
      if (step === 'create' && state === 'ABSENT') state = 'QUEUED';
      if (step === 'inputs' && (state === 'ABSENT' || !isTerminal(state))) inputs = allocatedBytes(INPUT_BYTES);
      if (step === 'claim' && reach('RUNNING')) isBegun = true;
      if (step === 'retry') reach('QUEUED');
      if (step === 'succeed' && reach('SUCCEEDED')) end = END_BYTES;
      if (step === 'fail' && reach('FAILED')) end = ERROR_BYTES;
      if (step === 'cancel') reach('CANCELLED');
      if (step === 'expire') reach('EXPIRED');
      if (step === 'withdraw') reach('WITHDRAWN');
      return true;
    },
    bytes: () => (state === 'ABSENT' ? 0 : RECORD_BYTES) + inputs + end,
  };
}
