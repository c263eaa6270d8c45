import { test } from 'vitest';
import { expectPromisesKept, RUNS, SEED } from './worlds.ts';

// A file of its own, since each file has a process of its own: both halves run at once.
test(`in ${RUNS} more, from seed ${-SEED}, every promise is kept`, { timeout: 600_000 }, () =>
  expectPromisesKept(-SEED),
);
