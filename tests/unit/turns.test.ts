import fc from 'fast-check';
import { expect, test } from 'vitest';
import { createTurns } from '../../src/media/turns.ts';

test('never more run at once than may, all run in the order they came, and one that fails lets the next in', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.scheduler(),
      fc.integer({ min: 1, max: 3 }),
      fc.array(fc.boolean()),
      async (s, atOnce, fates) => {
        const turns = createTurns(atOnce);
        const begun: number[] = [];
        let running = 0;
        const work = async (i: number, fails: boolean) => {
          begun.push(i);
          running += 1;
          expect(running).toBeLessThanOrEqual(atOnce);
          await s.schedule(Promise.resolve());
          running -= 1;
          if (fails) throw new Error('failed');
          return i;
        };
        const all = Promise.allSettled(fates.map((fails, i) => turns.take(() => work(i, fails))));
        await s.waitFor(all);
        expect((await all).map(({ status }) => status === 'rejected')).toEqual(fates);
        expect(begun).toEqual(fates.map((_, i) => i));
      },
    ),
  );
});
