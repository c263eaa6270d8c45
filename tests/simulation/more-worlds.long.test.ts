import { test } from 'vitest';
import { expectPromisesKept, MORE_RUNS, SEED } from './worlds.ts';

test(`in ${MORE_RUNS} more, from seed ${-SEED}, every promise is kept`, { timeout: 600_000 }, () =>
  expectPromisesKept(-SEED, MORE_RUNS),
);
