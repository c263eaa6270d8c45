import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, onTestFinished, vi } from 'vitest';
import { openStore } from '../../src/open-store.ts';
import { ANONYMOUS } from '../../src/process/api-keys.ts';
import { createLog } from '../../src/process/log.ts';
import type { Submission } from '../../src/task/task.ts';
import type { Observed } from './checker.ts';
import type { FaultCase } from './fault-case.ts';
import { IRIS } from './models.ts';
import { slowSample } from './samples.ts';
import { type Servers, type Service, startService } from './service.ts';
import { tensor } from './tensors.ts';

/** Milliseconds between the moment that the service begins to listen and a completion that is near to it. */
const NEAR_MS = 5;
const DELAY_MS_MAX = 1_000;
/** Subscriptions that are being opened at a time. */
const LANES = 3;
/** Tasks of a subscription: mostly several, to have many races in seconds. */
const GROUPS = [1, 1, 20, 40];

const COMPLETIONS = `subscription ($ids: [ID!]!) { tasksCompleted(ids: $ids) {
  id state completedAt prediction { ... on TensorsPrediction { outputs { name datatype shape base64 } } } } }`;

export type Racing = Awaited<ReturnType<typeof startRacing>>;

/** A service without a worker, and tasks that end at the moment that the test chooses. `workerStoreUrl`: where a worker would end them. */
export async function startRacing(it: FaultCase, servers: Servers, workerStoreUrl = servers.storeUrl) {
  const service = await startService({ servers, withWorker: false });
  await expect.poll(() => service.store.isReady()).toBe(true);
  await service.registry.register([IRIS]);
  let { store } = service;
  if (workerStoreUrl !== 'memory:') {
    const opened = await openStore({ storeUrl: workerStoreUrl, resultTtlMs: 600_000 }, createLog('silent', 'test'));
    onTestFinished(opened.close);
    store = opened.store;
  }
  let created = 0;
  return {
    service,
    /** Queues tasks that nobody runs, each with a function that ends it. */
    async create(count: number) {
      const submissions = Array.from({ length: count }, newSubmission);
      await store.create(submissions);
      return submissions.map((submission) => {
        const rounds = created++;
        it.checker.accepted(submission.id, slowSample(rounds));
        const result = { outputs: [tensor('y', 'INT64', [BigInt(rounds)])], runMs: 1, batchSize: 1 };
        const complete = () => store.transition(submission.id, { to: 'SUCCEEDED', at: Date.now(), submission, result });
        return { id: submission.id, complete };
      });
    },
    /** Subscribes once, and never comes back: what this one stream does not tell is missed. */
    listen(ids: string[], hear: (id: string) => void = () => {}): Listening {
      const told = it.checker.subscribed(ids);
      const begun = Promise.withResolvers<void>();
      const follow = async () => {
        const stream = service.client.stream<Observed>(
          'tasksCompleted',
          COMPLETIONS,
          { ids },
          { connected: begun.resolve },
        );
        for await (const task of stream) {
          told.completed(task);
          hear(task.id);
        }
      };
      return { begun: begun.promise, ended: follow().catch((error: unknown) => told.gaveUp(String(error))) };
    },
  };
}

interface Listening {
  /** Its listeners are there, and the tasks were read. */
  begun: Promise<void>;
  ended: Promise<void>;
}

function newSubmission(): Submission {
  const model = { name: 'slow', version: '1', fingerprint: 'f00d' };
  return { id: randomUUID(), owner: ANONYMOUS, model, door: 'tensors', submittedAt: Date.now() };
}

/** When the service began to listen for each task: the moment that its completion is to race with. */
function observeWatches({ store }: Service): Map<string, number> {
  const watchedAt = new Map<string, number>();
  const watch = store.watch;
  vi.spyOn(store, 'watch').mockImplementation((id, listener) => {
    watchedAt.set(id, performance.now());
    return watch(id, listener);
  });
  return watchedAt;
}

/**
 * Races subscriptions with completions until `count` of these were near, then expects that some were early and some late,
 * and that of those that were near 99 of 100 were told in time. (That all were told, the case finds out.)
 */
export async function raceCompletions(it: FaultCase, racing: Racing, count: number): Promise<void> {
  const watchedAt = observeWatches(racing.service);
  const near: Race[] = [];
  // How long a subscription is on its way at present: what to aim with.
  let leadMs = 5;
  const lane = async () => {
    while (near.length < count) {
      const [size = 1] = it.random.some(1, GROUPS);
      const races = await raceOnce(it, racing, { watchedAt, leadMs, size });
      near.push(...races.filter(({ offsetMs }) => Math.abs(offsetMs) <= NEAR_MS));
      leadMs += ((races[0]?.watchedAfterMs ?? leadMs) - leadMs) / 5;
    }
  };
  await Promise.all(Array.from({ length: LANES }, lane));

  const early = near.filter(({ offsetMs }) => offsetMs < 0).length;
  expect(Math.min(early, near.length - early)).toBeGreaterThan(count / 10);
  const delays = near.map(({ delayMs }) => delayMs).sort((a, b) => a - b);
  expect(delays[Math.floor(delays.length * 0.99)]).toBeLessThan(DELAY_MS_MAX);
}

interface Race {
  /** From the moment that the service began to listen to the completion. */
  offsetMs: number;
  /** From the later of the two to the event. */
  delayMs: number;
  /** From the request to the moment that the service began to listen. */
  watchedAfterMs: number;
}

interface Aim {
  watchedAt: ReadonlyMap<string, number>;
  leadMs: number;
  size: number;
}

/** One subscription to some tasks, each of which ends at about the moment that the service begins to listen. */
async function raceOnce(it: FaultCase, { create, listen }: Racing, { watchedAt, leadMs, size }: Aim): Promise<Race[]> {
  const tasks = await create(size);
  const askedAt = performance.now();
  const heardAt = new Map<string, number>();
  const completions = tasks.map(async ({ id, complete }) => {
    const aimMs = leadMs + it.random.integer(-NEAR_MS, NEAR_MS);
    await sleep(Math.max(0, askedAt + aimMs - performance.now()));
    const begunAt = performance.now();
    await complete();
    return { id, begunAt, doneAt: performance.now() };
  });
  const ids = tasks.map(({ id }) => id);
  await listen(ids, (id) => heardAt.set(id, performance.now())).ended;
  return (await Promise.all(completions)).map(({ id, begunAt, doneAt }) => {
    const watched = watchedAt.get(id) ?? Number.NaN;
    return {
      offsetMs: begunAt - watched,
      delayMs: (heardAt.get(id) ?? Number.POSITIVE_INFINITY) - Math.max(doneAt, watched),
      watchedAfterMs: watched - askedAt,
    };
  });
}
