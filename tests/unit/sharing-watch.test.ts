import { describe, expect, test } from 'vitest';
import type { Tensor } from '../../src/tensor/tensor.ts';
import { CHECKS_FIRST, type CheckedRun, SharingWatch } from '../../workers/batching/sharing-watch.ts';
import { tensor } from '../support/tensors.ts';

const MODEL = {};
const y = (...rows: number[]) => [tensor('y', 'FP32', rows)];
const label = (...rows: number[]) => [tensor('label', 'INT64', rows.map(BigInt))];

/** A run of two rows, the first of which was run again. */
function run(beside: Tensor[], alone: Tensor[], { outputs = beside, runMs = 1, aloneMs = 1 } = {}): CheckedRun {
  return { outputs, runMs, beside, alone: { outputs: alone, runMs: aloneMs } };
}
const SAME = run(y(1), y(1));

/** One that has made its first checks, and found nothing. */
function watchAfterFirst(random?: () => number): SharingWatch<object> {
  const watch = new SharingWatch<object>(random);
  for (let i = 0; i < CHECKS_FIRST; i += 1) {
    expect(watch.choose(MODEL, 2)).toBeDefined();
    expect(watch.judge(MODEL, SAME)).toEqual({ to: 'keep' });
  }
  return watch;
}

describe('what is checked', () => {
  test('are the first ten shared runs of each version, whatever becomes of them', () => {
    const watch = watchAfterFirst();
    expect(watch.choose(MODEL, 2)).toBeUndefined();
    expect(watch.choose({}, 2)).toBeDefined();
  });

  test('is any task of a run', () => {
    let next = 0;
    const watch = new SharingWatch<object>(() => next);
    for (const [random, task] of [
      [0, 0],
      [0.5, 4],
      [0.999, 7],
    ] as const) {
      next = random;
      expect(watch.choose(MODEL, 8)).toBe(task);
    }
  });

  test('takes at most a hundredth of the time of shared runs afterwards', () => {
    const watch = watchAfterFirst();
    let [sharedMs, checkedMs] = [0, 0];
    for (let i = 0; i < 20_000; i += 1) {
      const runMs = 1 + (i % 7);
      if (watch.choose(MODEL, 4) === undefined) watch.ran(MODEL, runMs);
      else {
        const aloneMs = 1 + (i % 3);
        watch.judge(MODEL, run(y(1), y(1), { runMs, aloneMs }));
        checkedMs += aloneMs;
      }
      sharedMs += runMs;
    }
    expect(checkedMs).toBeLessThanOrEqual(0.01 * sharedMs);
    expect(checkedMs).toBeGreaterThan(0.003 * sharedMs);
  });
});

describe('sharing ends', () => {
  const judge = (checked: CheckedRun, watch = new SharingWatch<object>()) => watch.judge(MODEL, checked);

  test.each<[string, CheckedRun, string]>([
    ['a float beyond the tolerance', run(y(1.001), y(1)), 'FP32 output "y"'],
    ['another shape', run(y(1), [tensor('y', 'FP32', [1], [1, 1])]), 'output "y" is FP32 [1] beside'],
    ['another integer', run(label(1), label(2)), 'INT64 output "label" of a row beside other rows'],
    ['a row that is refused alone', { ...SAME, alone: { fault: 'Gather node: no' } }, 'fails alone'],
  ])('by %s', (_, checked, reason) => {
    expect(judge(checked)).toEqual({ to: 'end sharing', reason: expect.stringContaining(reason) });
  });

  test('not by what memory was too short for; its run is made again', () => {
    const alone = { fault: 'Failed to allocate memory for requested buffer of size 1' };
    expect(judge({ ...SAME, alone })).toMatchObject({ to: 'run alone' });
  });

  test('by integers only where they differ in more than a hundredth of the rows; the tasks of their runs run alone', () => {
    const watch = new SharingWatch<object>();
    const rows = Array<number>(150).fill(1);
    expect(judge(run(label(...rows), label(...rows)), watch)).toEqual({ to: 'keep' });
    expect(judge(run(label(1), label(2)), watch)).toMatchObject({ to: 'run alone' });
    expect(judge(run(label(3), label(3)), watch)).toEqual({ to: 'keep' });
    expect(judge(run(label(1), label(2)), watch)).toMatchObject({
      to: 'end sharing',
      reason: expect.stringContaining('in 2 of 153 compared rows'),
    });
  });

  test('not by sums in another order, whose terms cancel each other out in one row of many', () => {
    const rounded = (...neighbours: number[]) =>
      run(y(3e-4 + 1e-7), y(3e-4), { outputs: y(3e-4 + 1e-7, ...neighbours) });
    expect(judge(rounded(1, -2, 0.7))).toEqual({ to: 'keep' });
    // Nobody hides a difference behind one large value.
    expect(judge(rounded(1e9, 3e-4, 3e-4))).toMatchObject({ to: 'end sharing' });
    expect(judge(rounded(1e9))).toMatchObject({ to: 'end sharing' });
  });
});
