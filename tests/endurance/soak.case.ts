import { setTimeout as sleep } from 'node:timers/promises';
import { expect, inject, test, vi } from 'vitest';
import { openStore } from '../../src/open-store.ts';
import { createLog } from '../../src/process/log.ts';
import type { Observed } from '../support/checker.ts';
import type { Client } from '../support/client.ts';
import { type FaultCase, startCase } from '../support/fault-case.ts';
import { startFleet, usePrivateServers } from '../support/fleet.ts';
import { FLOWER, IRIS } from '../support/models.ts';
import { type Sample, slowSample, squaresSample } from '../support/samples.ts';
import { slopePerHour, takeVitalSigns, type VitalSigns } from '../support/vital-signs.ts';

const TASKS_PER_S = 50;
const ABANDONED_PER_MINUTE = 500;
/** How long one who abandons a subscription has waited. */
const PATIENCE_MS = 3_000;
const RESULT_TTL_S = 60;
const SAMPLE_EVERY_MS = 10_000;

/** Results expire, idle connections are closed, and Redis gets round to it. */
const AFTERWARDS_MS = (RESULT_TTL_S + 60) * 1_000;
/** In a shorter run the processes are still growing to the size that the load needs. */
const JUDGED_MINUTES_MIN = 10;
const GROWTH_MIB_PER_HOUR_MAX = 60;
/** Connections that clients keep for their next request. */
const DESCRIPTORS_MORE_MAX = 20;

const OBSERVED =
  'id state completedAt prediction { ... on TensorsPrediction { outputs { name datatype shape base64 } } }';
const COMPLETIONS = `subscription ($ids: [ID!]!) { tasksCompleted(ids: $ids) { ${OBSERVED} } }`;
const RESULTS = `query ($ids: [ID!]!) { results(ids: $ids) { ${OBSERVED} } }`;

const servers = usePrivateServers();

/**
 * Calls again and again until the signal says stop; resolves, when all that was begun has ended, with what was thrown: a soak
 * goes on, so that one hitch does not hide what comes after it.
 */
async function every(intervalMs: number, stop: AbortSignal, work: () => Promise<unknown>): Promise<string[]> {
  const thrown: string[] = [];
  const begun = new Set<Promise<unknown>>();
  for (let dueAt = performance.now(); !stop.aborted; dueAt += intervalMs) {
    const one = work()
      .catch((error: unknown) => thrown.push(`${error}`))
      .finally(() => begun.delete(one));
    begun.add(one);
    await sleep(Math.max(0, dueAt + intervalMs - performance.now()));
  }
  await Promise.all(begun);
  return thrown;
}

/** Submits a second's tasks, one by one, waits for all, and reads them before they expire. */
async function submitASecond(it: FaultCase, client: Client): Promise<void> {
  const sample = (): Sample =>
    it.random.integer(0, 1) === 0 ? squaresSample(it.random.integer(0, 9)) : slowSample(it.random.integer(1, 5_000));
  const submitted = Array.from({ length: TASKS_PER_S }, async (_, i) => {
    await sleep((i * 1_000) / TASKS_PER_S);
    return it.submit(client, sample());
  });
  const ids = (await Promise.all(submitted)).filter((id) => id !== undefined);
  const told = it.checker.subscribed(ids);
  try {
    for await (const task of client.stream<Observed>('tasksCompleted', COMPLETIONS, { ids })) told.completed(task);
  } catch (error) {
    told.gaveUp(String(error));
  }
  const { results } = await client.get<{ results: (Observed | null)[] }>(RESULTS, { ids });
  for (const [i, id] of ids.entries()) it.checker.stored(id, results[i] ?? null);
}

/** Subscribes to the task, and goes away before it is told. */
async function abandon(it: FaultCase, client: Client, id: string): Promise<void> {
  const query = 'subscription ($id: ID!) { taskUpdated(id: $id) { id state } }';
  const signal = AbortSignal.timeout(it.random.integer(1, PATIENCE_MS));
  try {
    for await (const { state } of client.stream('taskUpdated', query, { id }, { signal })) expect(state).toBe('QUEUED');
  } catch (error) {
    // To leave while the server answers is an error to the client alone.
    if (!signal.aborted) throw error;
  }
}

/** Has a model registered that nobody serves. */
async function registerUnserved(storeUrl: string): Promise<void> {
  const { registry, close } = await openStore({ storeUrl, resultTtlMs: 60_000 }, createLog('silent', 'test'));
  await registry.register([IRIS]);
  await close();
}

/** A task of that model: it waits for a worker for as long as the soak lasts. */
async function submitUnserved(client: Client): Promise<string> {
  const query = 'mutation ($input: PredictionInput!) { submitPrediction(input: $input) { id } }';
  const submit = () => client.get<{ submitPrediction: { id: string } }>(query, { input: { iris: FLOWER } });
  // As soon as the API knows the model.
  const { submitPrediction } = await vi.waitFor(submit, { timeout: 10_000 });
  return submitPrediction.id;
}

const SHOWN = [
  'apiMib',
  'apiHeapMib',
  'apiDescriptors',
  'workerMib',
  'workerDescriptors',
  'inferenceMib',
  'redisMib',
  'redisKeys',
  'subscriptions',
  'listeners',
] as const;

/** Time for the servers to start, for everything to drain, and for the results to expire. */
const AROUND_MINUTES = 6;

function print(cells: readonly (string | number)[]): void {
  const text = cells.map((cell) => (typeof cell === 'number' ? cell.toFixed(1) : cell).padStart(19));
  process.stdout.write(`${text.join('')}\n`);
}

const printSigns = (title: string, signs: VitalSigns) => print([title, ...SHOWN.map((sign) => signs[sign])]);

const minutes = inject('soakMinutes');

test(
  'under a steady load nothing grows, and afterwards nothing is left',
  async (context) => {
    const it = startCase(context, `10 soak of ${minutes} minutes`);
    const { redis } = servers();
    const fleet = await startFleet(servers(), { settings: { RESULT_TTL_S: String(RESULT_TTL_S) } });
    const [[api], [worker], client] = [fleet.apis, fleet.workers, fleet.client()];
    if (!api || !worker) throw new Error('expected an API and a worker');
    await registerUnserved(redis.url);
    print(['', ...SHOWN]);
    const before = await takeVitalSigns(api, worker, redis);
    printSigns('before', before);

    const unserved = await submitUnserved(client);
    const stop = AbortSignal.timeout(minutes * 60_000);
    const samples: VitalSigns[] = [];
    const thrown = await Promise.all([
      every(1_000, stop, () => submitASecond(it, client)),
      every(60_000 / ABANDONED_PER_MINUTE, stop, () => abandon(it, client, unserved)),
      every(SAMPLE_EVERY_MS, stop, async () => {
        const signs = await takeVitalSigns(api, worker, redis);
        samples.push(signs);
        printSigns(`${((signs.at - before.at) / 60_000).toFixed(1)} min`, signs);
      }),
    ]);
    await client.get('mutation ($id: ID!) { cancelTask(id: $id) { id } }', { id: unserved });
    const keys = () => redis.cli('DBSIZE').then(Number);
    await expect.poll(keys, { timeout: AFTERWARDS_MS, interval: 1_000 }).toBeLessThanOrEqual(before.redisKeys);

    const after = await takeVitalSigns(api, worker, redis);
    printSigns('after', after);
    const secondHalf = samples.slice(samples.length / 2);
    const slopes = SHOWN.map((sign) => slopePerHour(secondHalf, sign));
    print(['an hour', ...slopes]);
    if (context.task.meta.fault) context.task.meta.fault.counts = it.checker.counts();

    expect(thrown.flat()).toEqual([]);
    const { accepted, refused } = it.checker.counts();
    expect({ refused, ...it.checker.faults() }).toEqual({
      refused: 0,
      lost: [],
      duplicated: [],
      unexpected: [],
      wrong: [],
    });
    expect(accepted).toBeGreaterThan(minutes * 60 * TASKS_PER_S * 0.95);
    expect(after).toMatchObject({ subscriptions: 0, listeners: 0 });
    expect(after.apiDescriptors).toBeLessThan(before.apiDescriptors + DESCRIPTORS_MORE_MAX);
    expect(after.workerDescriptors).toBeLessThan(before.workerDescriptors + DESCRIPTORS_MORE_MAX);
    if (minutes < JUDGED_MINUTES_MIN) return;
    for (const sign of ['apiMib', 'workerMib', 'inferenceMib', 'redisMib'] as const) {
      expect(slopePerHour(secondHalf, sign), `${sign} an hour`).toBeLessThan(GROWTH_MIB_PER_HOUR_MAX);
    }
  },
  (minutes + AROUND_MINUTES) * 60_000,
);
