import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { BatchLimits } from '../../workers/batching/batch-line.ts';
import { Batcher, type TakenBatch } from '../../workers/batching/batcher.ts';
import { OwnerCosts, type RunCost } from '../../workers/batching/owner-costs.ts';
import { type Item, type ItemOptions, item, LIMITS } from '../support/batch-items.ts';

const AT = 1_000_000;
const MINUTES = 60_000;

type Ran = Omit<RunCost, 'owners' | 'at'>;
const QUICK: Ran = { ms: 1, isLethal: false };
const LETHAL: Ran = { ms: 500, isLethal: true };

/** A batcher whose owners have cost as much before. */
function batcherAfter(ran: [owner: string, Ran][], limits: Partial<BatchLimits> = {}, slots = 4) {
  const costs = new OwnerCosts();
  for (const [owner, each] of ran) costs.charge({ ...each, owners: [owner], at: AT });
  const batcher = new Batcher<string, Item>(() => ({ ...LIMITS, concurrency: slots, ...limits, costs }), slots);
  return {
    batcher,
    add(owner: string, options: ItemOptions = {}): Item {
      const added = item('m', { owner, ...options });
      batcher.add(added);
      return added;
    },
    owners: (at = AT): string[] => batcher.take(at)?.items.map(({ owner }) => owner) ?? [],
  };
}

describe('an owner whose run ended its process', () => {
  test('goes behind others, whatever the lane, and first again when that is long ago', () => {
    const { add, owners } = batcherAfter([['a', LETHAL]], { maxBatch: 1 });
    add('a', { lane: 'high' });
    add('a');
    add('b');
    add('b');
    expect([owners(), owners(), owners()]).toEqual([['b'], ['b'], ['a']]);
    add('b');
    expect([owners(AT + 5 * MINUTES)]).toEqual([['a']]);
  });

  test('shares runs with no other', () => {
    const { add, owners } = batcherAfter([['a', LETHAL]]);
    for (const owner of ['a', 'b', 'a', 'b', 'c']) add(owner);
    expect([owners(), owners()]).toEqual([
      ['b', 'b', 'c'],
      ['a', 'a'],
    ]);
  });

  test('leaves one of several slots to others, also where nobody else has come yet', () => {
    const { batcher, add, owners } = batcherAfter([['a', LETHAL]], { maxBatch: 1 }, 2);
    add('a');
    add('a');
    const batch = batcher.take(AT);
    expect(batch).toMatchObject({ standing: 'suspect' });
    expect([owners(), batcher.dueAt()]).toEqual([[], undefined]);
    add('b');
    expect(owners()).toEqual(['b']);
    if (batch) batcher.ended(batch);
    expect(owners()).toEqual(['a']);
  });

  test('has the only slot where there is one', () => {
    const { add, owners } = batcherAfter([['a', LETHAL]], {}, 1);
    add('a');
    expect(owners()).toEqual(['a']);
  });

  test('is not known from a batch of several owners', () => {
    const { batcher, add } = batcherAfter([], {}, 2);
    for (const owner of ['a', 'b']) add(owner);
    const batch = batcher.take(AT);
    if (batch) batcher.ended(batch, { ...LETHAL, owners: batch.items.map(({ owner }) => owner), at: AT });
    for (const owner of ['a', 'b']) add(owner, { alone: true });
    expect([batcher.take(AT), batcher.take(AT)]).toMatchObject([{ standing: 'ordinary' }, { standing: 'ordinary' }]);
  });
});

test('owners whose shared run took unusually long run apart, until it shows whose tasks do', () => {
  const { batcher, add, owners } = batcherAfter([['a', QUICK], ['b', QUICK]], {}, 9); // biome-ignore format: pairs
  const both = { owners: ['a', 'b'], isLethal: false };
  for (const owner of ['a', 'b']) add(owner);
  const batch = batcher.take(AT);
  expect(batch?.items).toHaveLength(2);
  if (batch) batcher.ended(batch, { ...both, ms: 500, at: AT });
  for (const owner of ['a', 'b', 'a', 'b']) add(owner);
  expect([owners(), owners()]).toEqual([
    ['a', 'a'],
    ['b', 'b'],
  ]);
  for (const owner of ['a', 'b']) add(owner);
  expect(owners(AT + MINUTES)).toEqual(['a', 'b']);
});

test('owners who used little stand alike, and those who used more go behind', () => {
  const { add, owners } = batcherAfter(
    [
      ['a', { ms: 900, isLethal: false }],
      ['b', QUICK],
      ['c', { ms: 30_000, isLethal: false }],
    ],
    { maxBatch: 1 },
    9,
  );
  for (const owner of ['c', 'a', 'b', 'c']) add(owner);
  expect([owners(), owners(), owners(), owners()]).toEqual([['a'], ['b'], ['c'], ['c']]);
});

describe('tasks in hand of an owner whose tasks take far longer than others do', () => {
  const SLOW: Ran = { ms: 400, isLethal: false };

  test('are no more than can run at once', () => {
    const { batcher, add, owners } = batcherAfter([['b', QUICK], ['a', SLOW], ['a', SLOW]], { maxBatch: 1, concurrency: 1 }); // biome-ignore format: pairs
    const [first, second, third] = [add('a'), add('a'), add('a')];
    add('b');
    expect(batcher.surplus('m', AT, { keepsRunning: true, mayGo: (task) => task !== second })).toEqual([third]);
    expect(owners()).toEqual([first.owner]);
    expect(batcher.surplus('m', AT, { keepsRunning: false, mayGo: () => true })).toEqual([second]);
    expect(batcher.waiting()).toBe(1);
  });

  test('are not looked at where nobody else has come lately', () => {
    const { batcher, add } = batcherAfter(
      [
        ['a', SLOW],
        ['a', SLOW],
      ],
      { concurrency: 1 },
    );
    for (let i = 0; i < 9; i += 1) add('a');
    expect(batcher.surplus('m', AT, { keepsRunning: true, mayGo: () => true })).toEqual([]);
  });
});

test('whatever runs cost, nobody is lost, one owner keeps its order, and an owner who is behind has its turn', async () => {
  const cost = fc.record({ ms: fc.nat({ max: 100_000 }), isLethal: fc.boolean() });
  const arrival = fc.record({ owner: fc.constantFrom('a', 'b', 'c'), cost, lane: fc.constantFrom('high' as const, 'normal' as const) }); // biome-ignore format: one line
  await fc.assert(
    fc.property(fc.array(arrival, { maxLength: 60 }), fc.integer({ min: 1, max: 4 }), (arrivals, slots) => {
      const { batcher, add } = batcherAfter([], { maxBatch: 2 }, slots);
      const costs = new Map(arrivals.map(({ owner, lane, cost }) => [add(owner, { lane }), cost]));
      const running: TakenBatch<string, Item>[] = [];
      const ran: Item[] = [];
      for (let at = AT; ran.length < arrivals.length; at += 1) {
        const batch = batcher.take(at);
        if (batch) {
          running.push(batch);
          ran.push(...batch.items);
          expect(new Set(batch.items.map(({ owner }) => owner)).size === 1 || batch.standing !== 'suspect').toBe(true);
        }
        if (batch && running.length < slots) continue;
        const ended = running.shift();
        // Something waits, so something runs or may run.
        expect(ended).toBeDefined();
        const [first] = ended?.items ?? [];
        const charged = first && costs.get(first);
        if (ended && charged) batcher.ended(ended, { ...charged, at, owners: ended.items.map(({ owner }) => owner) });
      }
      expect(new Set(ran).size).toBe(arrivals.length);
      for (const owner of ['a', 'b', 'c'])
        for (const lane of ['high', 'normal']) {
          const own = ran
            .filter((each) => each.owner === owner && each.lane === lane)
            .map(({ arrivedAt }) => arrivedAt);
          expect(own).toEqual(own.toSorted((a, b) => a - b));
        }
    }),
  );
});
