import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Lane } from '../../src/broker/topology.ts';
import type { Tensor } from '../../src/tensor/tensor.ts';
import type { BatchLimits } from '../../workers/batching/batch-line.ts';
import { batchKey, rowsOf } from '../../workers/batching/batch-tensors.ts';
import { Batcher } from '../../workers/batching/batcher.ts';
import { NORMAL_SHARE } from '../../workers/batching/next-batch.ts';
import { type Item, item, LIMITS, now } from '../support/batch-items.ts';

// Whatever is added, taken back, taken and ended in whatever order, held against a plain list of what waits.

const MODELS: Record<string, BatchLimits> = {
  shared: { ...LIMITS, concurrency: 1 },
  large: { ...LIMITS, maxBatch: 16, concurrency: 3 },
  single: { ...LIMITS, shares: () => false, maxBatch: 1 },
};

const step = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      do: fc.constant('add' as const),
      model: fc.constantFrom(...Object.keys(MODELS)),
      rows: fc.integer({ min: 0, max: 6 }),
      width: fc.integer({ min: 1, max: 2 }),
      alone: fc.boolean(),
      lane: fc.constantFrom('normal' as const, 'high' as const),
    }),
  },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('take' as const) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constantFrom('end' as const, 'remove' as const), pick: fc.nat() }) },
);

type Step = typeof step extends fc.Arbitrary<infer S> ? S : never;

test('no task is lost or run twice, no limit is passed, the oldest of a lane goes first, and neither lane starves', async () => {
  await fc.assert(fc.property(fc.array(step, { maxLength: 80 }), replay));
});

function replay(steps: readonly Step[]): void {
  const batcher = new Batcher<string, Item>(limitsOf);
  let waiting: Item[] = [];
  const running: string[] = [];
  let passedOver = 0;
  const mayRun = ({ model }: Item) => running.filter((each) => each === model).length < limitsOf(model).concurrency;
  for (const each of steps) {
    if (each.do === 'add') {
      const added = item(each.model, each);
      batcher.add(added);
      waiting.push(added);
    } else if (each.do === 'take') {
      const batch = batcher.take(now());
      const oldest = (lane: Lane) => waiting.find((other) => other.lane === lane && mayRun(other));
      const leader = batch?.items[0];
      expect(leader).toBe(leader ? oldest(leader.lane) : waiting.find(mayRun));
      if (!batch || !leader) continue;
      // High overtakes, except where a normal one has been passed over often enough.
      if (leader.lane === 'normal') expect(!oldest('high') || passedOver === NORMAL_SHARE - 1).toBe(true);
      passedOver =
        leader.lane === 'high' && oldest('normal') ? passedOver + 1 : leader.lane === 'normal' ? 0 : passedOver;
      expect(passedOver).toBeLessThan(NORMAL_SHARE);
      expectFits(batch.items, limitsOf(batch.model));
      expect(batch.items.every((taken) => taken.model === batch.model && waiting.includes(taken))).toBe(true);
      waiting = waiting.filter((left) => !batch.items.includes(left));
      running.push(batch.model);
    } else if (each.do === 'end') {
      const [model] = running.splice(each.pick % (running.length || 1), 1);
      if (model !== undefined) batcher.ended({ model, standing: 'ordinary' });
    } else {
      const [removed] = waiting.splice(each.pick % (waiting.length || 1), 1);
      if (removed) expect([batcher.remove(removed), batcher.remove(removed)]).toEqual([true, false]);
    }
    expect(batcher.waiting()).toBe(waiting.length);
  }
}

function limitsOf(model: string): BatchLimits {
  const limits = MODELS[model];
  if (!limits) throw new Error(`no model ${model}`);
  return limits;
}

function expectFits(items: readonly Item[], { maxBatch, shares }: BatchLimits): void {
  if (items.length === 1) return;
  expect(shares() && items.every(({ alone }) => !alone)).toBe(true);
  expect(new Set(items.map(({ inputs }: { inputs: readonly Tensor[] }) => batchKey(inputs))).size).toBe(1);
  expect(items.reduce((rows, { inputs }) => rows + (rowsOf(inputs) ?? Number.NaN), 0)).toBeLessThanOrEqual(maxBatch);
  expect(items.length).toBeLessThanOrEqual(maxBatch);
  // The lane of the first goes before the other, and each is in order.
  const places = items.slice(1).map(({ lane, arrivedAt }) => (lane === items[0]?.lane ? 0 : now()) + arrivedAt);
  expect(places).toEqual(places.toSorted((a, b) => a - b));
}
