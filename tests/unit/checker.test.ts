import { describe, expect, test } from 'vitest';
import { Checker, type Counts, type Observed } from '../support/checker.ts';
import { createRandom } from '../support/random.ts';

const OUTPUTS = [{ name: 'y', datatype: 'INT64', shape: [1], base64: 'AQAAAAAAAAA=' }];
const OTHER_OUTPUTS = [{ name: 'y', datatype: 'INT64', shape: [1], base64: 'AgAAAAAAAAA=' }];
const CLEAN: Counts = { accepted: 1, refused: 0, lost: 0, duplicated: 0, unexpected: 0, wrong: 0 };

function ended(more: Partial<Observed> = {}): Observed {
  const completedAt = '2026-01-31T12:00:00.000Z';
  return { id: 'a', state: 'SUCCEEDED', completedAt, prediction: { outputs: OUTPUTS }, ...more };
}

/** A checker for which everything went well with task `a`, of which one subscription was told; `disturb` comes last. */
function checked(disturb: (checker: Checker) => void = () => {}): Checker {
  const checker = new Checker();
  checker.accepted('a', { outputs: OUTPUTS });
  const told = checker.subscribed(['a']);
  told.began();
  told.completed(ended());
  checker.stored('a', ended());
  disturb(checker);
  return checker;
}

test('one id, one end, one stored result and one event for each subscription are no fault', () => {
  expect(checked().counts()).toEqual(CLEAN);
});

test('a subscription whose stream was cut may be told again in the next one', () => {
  const checker = checked((each) => {
    const told = each.subscribed(['a']);
    for (let stream = 0; stream < 3; stream += 1) {
      told.began();
      told.completed(ended());
    }
  });
  expect(checker.counts()).toEqual(CLEAN);
});

test('what may end in several ways may end in any of them', () => {
  for (const state of ['CANCELLED', 'SUCCEEDED']) {
    const checker = new Checker();
    checker.accepted('a', { outputs: OUTPUTS, states: ['CANCELLED', 'SUCCEEDED'] });
    checker.stored('a', ended({ state, prediction: state === 'SUCCEEDED' ? { outputs: OUTPUTS } : null }));
    expect(checker.counts()).toEqual(CLEAN);
  }
});

test('refusals are counted, and the slowest is known', () => {
  const checker = checked((each) => {
    each.refused(5_000);
    each.refused(20);
  });
  expect(checker.counts()).toEqual({ ...CLEAN, refused: 2 });
  expect(checker.slowestRefusalMs()).toBe(5_000);
});

describe.each<[string, keyof Counts, (checker: Checker) => void]>([
  ['an id that is unknown at the end', 'lost', (checker) => checker.stored('a', null)],
  ['an id that is not terminal at the end', 'lost', (checker) => checker.stored('a', ended({ state: 'RUNNING' }))],
  ['a subscription that was not told', 'lost', (checker) => checker.subscribed(['a']).began()],
  ['a subscription that was answered with an error', 'lost', (checker) => checker.subscribed(['a']).gaveUp('no such')],
  ['an event told twice in one stream', 'duplicated', (checker) => tell(checker, ended(), ended())],
  ['an id that was given out twice', 'duplicated', (checker) => checker.accepted('a', { outputs: OUTPUTS })],
  [
    'a result that was stored a second time',
    'duplicated',
    (checker) => checker.stored('a', ended({ completedAt: '2026-01-31T12:00:01.000Z' })),
  ],
  [
    'an event for what was not asked for',
    'unexpected',
    (checker) => {
      checker.accepted('b', { outputs: OUTPUTS });
      checker.stored('b', ended({ id: 'b' }));
      tell(checker, ended(), ended({ id: 'b' }));
    },
  ],
  ['an event while the task runs', 'unexpected', (checker) => tell(checker, ended({ state: 'RUNNING' }))],
  ['a record of what was never given out', 'unexpected', (checker) => checker.stored('b', ended({ id: 'b' }))],
])('%s', (_, fault, disturb) => {
  test(`is ${fault}, and nothing else`, () => {
    const { accepted, ...counts } = checked(disturb).counts();
    expect(accepted).toBeGreaterThan(0);
    expect(counts).toEqual({ refused: 0, lost: 0, duplicated: 0, unexpected: 0, wrong: 0, [fault]: 1 });
  });
});

test('an end that is not due is unexpected', () => {
  const checker = new Checker();
  checker.accepted('a', { outputs: OUTPUTS });
  checker.stored('a', ended({ state: 'FAILED', prediction: null }));
  expect(checker.counts()).toEqual({ ...CLEAN, unexpected: 1 });
});

test.each([
  ['another value', { outputs: OTHER_OUTPUTS }],
  ['an output more', { outputs: [...OUTPUTS, ...OTHER_OUTPUTS] }],
  ['no output', { outputs: [] }],
  ['nothing', null],
])('a result that is %s is wrong', (_, prediction) => {
  const checker = new Checker();
  checker.accepted('a', { outputs: OUTPUTS });
  checker.stored('a', ended({ prediction }));
  expect(checker.counts()).toEqual({ ...CLEAN, wrong: 1 });
});

test('a terminal state that changes is duplicated, and the second is judged as well', () => {
  const checker = checked((each) => tell(each, ended({ state: 'FAILED', prediction: null })));
  expect(checker.counts()).toEqual({ ...CLEAN, duplicated: 1, unexpected: 1 });
  expect(checker.faults().duplicated[0]).toMatch(/^a ended twice: SUCCEEDED at .*, then FAILED at /);
});

test('choices are the same for the same seed, others for another, and stay in their range', () => {
  const choices = (seed: number) => {
    const random = createRandom(seed);
    return [Array.from({ length: 50 }, () => random.integer(3, 7)), random.shuffled([1, 2, 3, 4, 5, 6, 7, 8, 9])];
  };
  expect(choices(1)).toEqual(choices(1));
  expect(choices(1)).not.toEqual(choices(2));
  const [integers, shuffled] = choices(3);
  expect(new Set(integers)).toEqual(new Set([3, 4, 5, 6, 7]));
  expect(shuffled?.toSorted()).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9]);
});

function tell(checker: Checker, ...tasks: Observed[]): void {
  const told = checker.subscribed(['a']);
  told.began();
  for (const task of tasks) told.completed(task);
}
