import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Overloaded } from '../../src/errors.ts';
import { Bound } from '../../src/ledger/bound.ts';
import { createLedger } from '../../src/ledger/ledger.ts';

/** Takes one after the other until it is refused; how many there were. */
function fill(bound: Bound, owner: string, most = 100_000): number {
  let taken = 0;
  while (taken < most && bound.hasRoom(owner, 1)) {
    bound.take(owner, 1);
    taken += 1;
  }
  return taken;
}

test('a lone owner gets nine tenths, the next one nine tenths of the rest, and who comes then finds room as well', () => {
  const bound = new Bound({ what: 'things', max: 10_000 });
  expect([fill(bound, 'a'), fill(bound, 'b'), fill(bound, 'c'), fill(bound, 'd')]).toEqual([9_000, 900, 90, 9]);
  expect(bound.used).toBeLessThan(bound.max);
});

test('owners that come and go have equal shares in the end', () => {
  const bound = new Bound({ what: 'things', max: 1_000 });
  fill(bound, 'a');
  const owners = ['a', 'b', 'c'];
  for (let round = 0; round < 5_000; round += 1) {
    for (const owner of owners) {
      if (bound.heldBy(owner) > 0) bound.give(owner, 1);
      fill(bound, owner, 2);
    }
  }
  const held = owners.map((owner) => bound.heldBy(owner));
  expect(Math.max(...held) - Math.min(...held)).toBeLessThan(0.1 * bound.max);
});

test('what is held is what was taken and not given back, never more than the bound, and nothing is kept of those that hold nothing', () => {
  const steps = fc.array(fc.record({ owner: fc.constantFrom('a', 'b', 'c'), amount: fc.integer({ min: 1, max: 60 }) }));
  fc.assert(
    fc.property(steps, (all) => {
      const bound = new Bound({ what: 'things', max: 100 });
      const taken: { owner: string; amount: number }[] = [];
      for (const step of all) {
        try {
          bound.take(step.owner, step.amount);
          taken.push(step);
        } catch (error) {
          expect(error).toBeInstanceOf(Overloaded);
        }
        expect(bound.used).toBe(taken.reduce((sum, { amount }) => sum + amount, 0));
        expect(bound.used).toBeLessThan(bound.max);
      }
      for (const { owner, amount } of taken) bound.give(owner, amount);
      expect([bound.used, bound.heldBy('a'), bound.heldBy('b'), bound.heldBy('c')]).toEqual([0, 0, 0, 0]);
    }),
  );
});

test('a refusal says what there is no room for, whose limit it was, and when to come back', () => {
  const bound = new Bound({ what: 'open streams', max: 10, retryAfterMs: 500 });
  fill(bound, 'a');
  const own = /9 \(an owner may hold at most nine times what is free\)/;
  expect(() => bound.take('a', 1)).toThrow(own);
  expect(() => bound.take('b', 1)).toThrow(/1 more open streams: the limit of this process is 10, and others hold 9;/);
  expect(bound.refusals).toBe(2);
  try {
    bound.take('a', 1);
  } catch (error) {
    expect(error).toMatchObject({ code: 'RATE_LIMITED', retryable: true });
    expect(error instanceof Overloaded && error.extensions).toEqual({ code: 'RATE_LIMITED', retryAfterMs: 500 });
  }
});

test('every bound of a process has a name, and a limit that may be set', () => {
  const { streams, memoryBytes } = createLedger({ memoryBytes: 1_000 });
  expect(fill(streams, 'a')).toBe(10_000);
  expect(memoryBytes.hasRoom('a', 900)).toBe(true);
  expect(memoryBytes.hasRoom('a', 901)).toBe(false);
});
