import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openStore } from '../../src/open-store.ts';
import type { Deadlines } from '../../src/store/deadlines.ts';
import { createMemoryDeadlines } from '../../src/store/memory/memory-deadlines.ts';
import { startRedis } from '../support/redis.ts';
import { createTestLog } from '../support/test-log.ts';
import { HOUR_MS } from './store-samples.ts';

deadlinesContract('memory', async () => ({ deadlines: createMemoryDeadlines(), close: async () => undefined }));

deadlinesContract('redis', async () => {
  const redis = await startRedis();
  const { deadlines, close } = await openStore({ storeUrl: redis.url, resultTtlMs: HOUR_MS }, createTestLog());
  return { deadlines, close: () => close().then(redis.close) };
});

/** What a keeper of deadlines promises. */
function deadlinesContract(name: string, open: () => Promise<{ deadlines: Deadlines; close(): Promise<void> }>): void {
  describe(`deadlines: ${name}`, () => {
    let opened: Awaited<ReturnType<typeof open>>;
    beforeAll(async () => {
      opened = await open();
    });
    afterAll(() => opened.close());

    test('those that have passed are told, the oldest first, until they are removed', async () => {
      const { deadlines } = opened;
      await deadlines.add([
        { id: 'late', expiresAt: 1_800_000_000_300 },
        { id: 'early', expiresAt: 1_800_000_000_100 },
      ]);
      await deadlines.add([{ id: 'middle', expiresAt: 1_800_000_000_200 }]);
      await deadlines.add([]);
      expect(await deadlines.due(1_800_000_000_099, 10)).toEqual([]);
      expect(await deadlines.due(1_800_000_000_200, 10)).toEqual(['early', 'middle']);
      expect(await deadlines.due(1_800_000_000_999, 2)).toEqual(['early', 'middle']);
      await deadlines.remove(['early', 'unknown']);
      await deadlines.remove([]);
      expect(await deadlines.due(1_800_000_000_999, 2)).toEqual(['middle', 'late']);
      await deadlines.remove(['middle', 'late']);
      expect(await deadlines.due(Number.MAX_SAFE_INTEGER, 10)).toEqual([]);
    });

    test('a deadline that is told again replaces the earlier one', async () => {
      const { deadlines } = opened;
      await deadlines.add([{ id: 'moved', expiresAt: 100 }]);
      await deadlines.add([{ id: 'moved', expiresAt: 200 }]);
      expect(await deadlines.due(150, 10)).toEqual([]);
      expect(await deadlines.due(200, 10)).toEqual(['moved']);
      await deadlines.remove(['moved']);
    });
  });
}
