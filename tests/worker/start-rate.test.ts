import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Batcher } from '../../workers/batching/batcher.ts';
import { createStartRate, createStartRates } from '../../workers/batching/start-rate.ts';
import { type Item, item, LIMITS } from '../support/batch-items.ts';
import { slow } from '../support/onnx-models.ts';
import { tensor } from '../support/tensors.ts';
import { startTestWorker } from '../support/worker.ts';

/** A batcher of `limited`, at so many a second, and `free`; concurrency is never in the way. */
function limitedBatcher(perSecond: number, maxBatch = 4) {
  const rate = createStartRate(perSecond);
  const limits = { ...LIMITS, maxBatch, concurrency: 1_000 };
  return new Batcher<string, Item>((model) => (model === 'limited' ? { ...limits, starts: rate } : limits));
}

const step = fc.oneof(
  fc.record({ do: fc.constant('add' as const), model: fc.constantFrom('limited', 'free'), high: fc.boolean() }),
  fc.record({ do: fc.constant('take' as const), fails: fc.nat({ max: 3 }) }),
  fc.record({ do: fc.constant('pass' as const), ms: fc.integer({ min: 1, max: 700 }) }),
);

test('whatever comes when, no second has more of its tasks than may begin, it is no busy wait, and others are not kept', async () => {
  const rates = fc.oneof(fc.integer({ min: 1, max: 6 }), fc.double({ min: 0.2, max: 6, noNaN: true }));
  await fc.assert(
    fc.property(rates, fc.array(step, { maxLength: 150 }), (perSecond, steps) => {
      const batcher = limitedBatcher(perSecond);
      const waiting = { limited: 0, free: 0 };
      const begun: { at: number; count: number }[] = [];
      let now = 0;
      const take = (fails: number) => {
        const batch = batcher.take(now);
        if (!batch) {
          expect(waiting.free).toBe(0);
          if (waiting.limited > 0) expect(batcher.dueAt()).toBeGreaterThan(now);
          return;
        }
        waiting[batch.model === 'free' ? 'free' : 'limited'] -= batch.items.length;
        const count = Math.max(0, batch.items.length - fails);
        batch.notBegun(batch.items.length - count);
        if (batch.model === 'limited') begun.push({ at: now, count });
      };
      for (const each of steps) {
        if (each.do === 'pass') now += each.ms;
        else if (each.do === 'take') take(each.fails);
        else {
          batcher.add(item(each.model, { arrivedAt: now, lane: each.high ? 'high' : 'normal' }));
          waiting[each.model === 'free' ? 'free' : 'limited'] += 1;
        }
      }
      // All of them get through, each as soon as it falls due.
      for (let i = 0; waiting.limited + waiting.free > 0; i += 1) {
        expect(i).toBeLessThan(1_000);
        now = Math.max(now, batcher.dueAt() ?? now);
        take(0);
      }
      for (const { at: from } of begun) {
        const within = begun.filter(({ at }) => at >= from && at < from + 1_000);
        expect(within.reduce((sum, { count }) => sum + count, 0)).toBeLessThanOrEqual(Math.ceil(perSecond));
      }
    }),
  );
});

describe('a rate', () => {
  test('is used in full: in ten seconds ten times as many begin as in one, also of a rate that is no whole number', () => {
    for (const perSecond of [0.5, 1, 2.5, 7]) {
      const batcher = limitedBatcher(perSecond, 1);
      for (let i = 0; i < 100; i += 1) batcher.add(item('limited', { arrivedAt: 0 }));
      let begun = 0;
      for (let now = 0; now < 10_000; now = batcher.dueAt() ?? now) while (batcher.take(now)) begun += 1;
      // What may begin at once at the very start, and what comes back in the time.
      expect(begun).toBeGreaterThanOrEqual(Math.floor(10 * perSecond));
      expect(begun).toBeLessThanOrEqual(Math.ceil(10 * perSecond) + Math.ceil(perSecond));
    }
  });

  test('cuts a batch where no more may begin, high ones first; the rest follows a second later', () => {
    const batcher = limitedBatcher(3, 64);
    const items = Array.from({ length: 5 }, (_, i) =>
      item('limited', { arrivedAt: i, lane: i > 3 ? 'high' : 'normal' }),
    );
    for (const each of items) batcher.add(each);
    expect(batcher.take(10)?.items).toEqual([items[4], items[0], items[1]]);
    expect(batcher.take(1_009)).toBeUndefined();
    expect(batcher.dueAt()).toBe(1_010);
    expect(batcher.take(1_010)?.items).toEqual([items[2], items[3]]);
  });

  test('is one for all versions of a model, and the latest limit counts for all of them', () => {
    const rates = createStartRates();
    expect(rates('a', 2)).toBe(rates('a', 2));
    expect(rates('a', 2)).not.toBe(rates('b', 2));
    const before = rates('a', 2);
    expect(rates('a', 3)).toBe(before);
    expect(before?.most).toBe(3);
    expect(rates('a', undefined)).toBeUndefined();
  });

  test('that becomes smaller counts what began a moment ago, also where it waits already', () => {
    const limits = { ...LIMITS, maxBatch: 1, concurrency: 1_000 };
    let perSecond = 5;
    const rates = createStartRates();
    const batcher = new Batcher<string, Item>(() => ({ ...limits, starts: rates('a', perSecond) }));
    for (let i = 0; i < 10; i++) batcher.add(item('limited', { arrivedAt: i }));
    for (let i = 0; i < 5; i++) expect(batcher.take(100)).toBeDefined();
    perSecond = 2;
    batcher.relimit();
    expect(batcher.take(200)).toBeUndefined();
    expect(batcher.dueAt()).toBe(1_100);
    for (let i = 0; i < 2; i++) expect(batcher.take(1_100)).toBeDefined();
    expect(batcher.take(1_100)).toBeUndefined();
    expect(batcher.dueAt()).toBe(2_100);
  });

  test('beside it, the concurrency of a model that was replaced and of its replacement is one', () => {
    const limits = { ...LIMITS, maxBatch: 1, concurrency: 2, concurrentWith: 'model/1' };
    const batcher = new Batcher<string, Item>(() => limits);
    for (const model of ['old', 'old', 'new']) batcher.add(item(model, { arrivedAt: 0 }));
    expect([batcher.take(0), batcher.take(0)].map((taken) => taken?.model)).toEqual(['old', 'old']);
    expect(batcher.take(0)).toBeUndefined();
    batcher.ended({ model: 'old', standing: 'ordinary' });
    expect(batcher.take(0)?.model).toBe('new');
  });
});

describe('a worker', () => {
  const rounds = (count: number) => [tensor('rounds', 'INT64', [BigInt(count)])];

  test('begins no more in any second than the manifest says, and runs another model meanwhile', {
    timeout: 30_000,
  }, async () => {
    const one = await startTestWorker({
      models: { limited: { onnx: slow(), manifest: { maxStartsPerSecond: 4 } }, free: { onnx: slow() } },
    });
    const submissions = Array.from({ length: 10 }, () => one.submissionOf('limited'));
    await one.store.create(submissions);
    for (const submission of submissions) await one.publish(submission, rounds(1));
    await one.ended(submissions[0]?.id ?? '');
    // While most of them wait for their second.
    for (let i = 0; i < 5; i += 1) expect(await one.predict('free', rounds(1))).toMatchObject({ state: 'SUCCEEDED' });
    const states = await one.store.get(submissions.map(({ id }) => id));
    expect(states.filter((task) => task?.state === 'QUEUED').length).toBeGreaterThanOrEqual(6);
    const tasks = await Promise.all(submissions.map(({ id }) => one.ended(id)));
    const begun = tasks.map(({ startedAt = 0 }) => startedAt).sort((a, b) => a - b);
    // The claim that is written down comes a few milliseconds after the beginning, sooner or later.
    for (const [i, at] of begun.slice(4).entries()) expect(at - (begun[i] ?? 0)).toBeGreaterThan(950);
    expect(one.worker.stats().waiting).toBe(0);
  });

  test('that is told to end gives back at once what waits for its second', async () => {
    const one = await startTestWorker({
      models: { limited: { onnx: slow(), manifest: { maxStartsPerSecond: 0.01 } } },
    });
    const submissions = Array.from({ length: 2 }, () => one.submissionOf('limited'));
    await one.store.create(submissions);
    for (const submission of submissions) await one.publish(submission, rounds(1));
    await one.ended(submissions[0]?.id ?? '');
    await expect.poll(() => one.worker.stats().waiting).toBe(1);
    await one.worker.close();
    expect((await one.store.get([submissions[1]?.id ?? '']))[0]).toMatchObject({ state: 'QUEUED', attempts: 0 });
  });
});
