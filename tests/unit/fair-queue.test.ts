import fc from 'fast-check';
import { expect, test } from 'vitest';
import { createFairQueue } from '../../src/ledger/fair-queue.ts';

test('never more run at once than may, those of an owner run in the order they came, and one that fails lets the next in', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.scheduler(),
      fc.integer({ min: 1, max: 3 }),
      fc.array(fc.record({ fails: fc.boolean(), owner: fc.constantFrom('a', 'b', 'c') })),
      async (s, atOnce, pieces) => {
        const queue = createFairQueue(atOnce);
        const begun: { owner: string; i: number }[] = [];
        let running = 0;
        const work = async (i: number, { owner, fails }: { owner: string; fails: boolean }) => {
          begun.push({ owner, i });
          running += 1;
          expect(running).toBeLessThanOrEqual(atOnce);
          await s.schedule(Promise.resolve());
          running -= 1;
          if (fails) throw new Error('failed');
          return i;
        };
        const all = Promise.allSettled(pieces.map((piece, i) => queue.run(piece.owner, () => work(i, piece))));
        await s.waitFor(all);
        expect((await all).map(({ status }) => status === 'rejected')).toEqual(pieces.map(({ fails }) => fails));
        expect(begun.length).toBe(pieces.length);
        for (const owner of ['a', 'b', 'c']) {
          const own = begun.filter((one) => one.owner === owner).map(({ i }) => i);
          expect(own).toEqual([...own].sort((x, y) => x - y));
        }
        expect(queue.waiting()).toBe(0);
      },
    ),
  );
});

test('an owner that comes behind a crowd of another waits for the piece that runs, not for the crowd', async () => {
  const queue = createFairQueue(1);
  const ended: string[] = [];
  const gates = Array.from({ length: 20 }, () => Promise.withResolvers<void>());
  const crowd = gates.map(({ promise }) =>
    queue.run('a', async () => {
      await promise;
      ended.push('a');
    }),
  );
  const single = queue.run('b', async () => void ended.push('b'));
  gates[0]?.resolve();
  await single;
  expect(ended).toEqual(['a', 'b']);
  for (const { resolve } of gates) resolve();
  await Promise.all(crowd);
});
