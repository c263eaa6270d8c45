import { expect, test } from 'vitest';
import { startCase } from '../support/fault-case.ts';
import { startFleet, usePrivateServers } from '../support/fleet.ts';
import type { Random } from '../support/random.ts';
import {
  crashingSample,
  hangingSample,
  KNOWN_MODELS,
  POISONABLE_MODELS,
  quotientSample,
  type Sample,
  slowSample,
  squaresSample,
} from '../support/samples.ts';

const GOOD = 500;
const POISONS = 2;
const ATTEMPTS = 2;

const servers = usePrivateServers();

interface Poisoned {
  title: string;
  poison: Sample;
  /** One that the same model does well by. */
  good: (random: Random) => Sample;
  code: string;
  message: RegExp;
}

const CASES: Poisoned[] = [
  {
    title: '7a a model that hangs',
    poison: hangingSample(),
    good: (random) => slowSample(random.integer(1, 1_000), 'hangs'),
    code: 'TIMEOUT',
    message: /the run took longer than 500 ms \(attempt 2 of 2\)/,
  },
  {
    title: '7b a model that crashes its process',
    poison: crashingSample(),
    good: (random) => quotientSample(BigInt(random.integer(-1_000, 1_000)), BigInt(random.integer(1, 9))),
    code: 'WORKER_LOST',
    message: /ended by SIGFPE \(attempt 2 of 2\)/,
  },
];

test.for(CASES)('$title costs its poison two attempts, and 500 good tasks nothing', async (poisoned, context) => {
  const it = startCase(context, poisoned.title);
  const fleet = await startFleet(servers(), {
    models: { ...KNOWN_MODELS, ...POISONABLE_MODELS },
    settings: { WORKER_SLOTS: '2' },
  });
  const good = Array.from({ length: GOOD }, (_, i) => {
    if (i % 2 === 0) return poisoned.good(it.random);
    return i % 4 === 1 ? slowSample(it.random.integer(1, 10_000)) : squaresSample(it.random.integer(0, 9));
  });
  const samples = it.random.shuffled([...good, ...Array<Sample>(POISONS).fill(poisoned.poison)]);
  const ids = await it.submitAll(fleet.client(), samples);
  it.subscribe(ids, fleet.client);

  const ended = await it.verify(fleet.client(), { withinMs: 40_000 });
  const poisons = ids.filter((_, i) => samples[i] === poisoned.poison);
  expect(poisons).toHaveLength(POISONS);
  for (const id of poisons) {
    expect(ended.get(id)).toMatchObject({ state: 'FAILED', attempts: ATTEMPTS, error: { code: poisoned.code } });
    expect(ended.get(id)?.error?.message).toMatch(poisoned.message);
  }
  // The worker that was there at the start is the only one that ever was.
  expect(fleet.workers.map((worker) => worker.isAlive())).toEqual([true]);
});
