import { setTimeout as sleep } from 'node:timers/promises';
import { expect, onTestFinished, type TestContext } from 'vitest';
import { Checker, type Counts, FAULTS, isEnded, type Observed, type Told } from './checker.ts';
import { AnsweredErrors, type Client } from './client.ts';
import { createRandom, type Random } from './random.ts';
import type { Sample } from './samples.ts';

/** What a case of the fault suite leaves behind, for `fault-reporter.ts`. */
export interface FaultReport {
  title: string;
  seed: number;
  /** `undefined` if it ended before it was checked. */
  counts?: Counts;
  slowestRefusalMs?: number;
}

declare module 'vitest' {
  interface TaskMeta {
    fault?: FaultReport;
  }
}

/** A client that is refused should know so soon enough to try elsewhere. */
const REFUSAL_MS_MAX = 6_000;
/** Faults that are shown in full. */
const SHOWN_MAX = 10;
/** As long as a real client waits before it comes back, shortened. */
const COMING_BACK_MS = 150;
const RESULTS_AT_A_TIME = 500;
const LOOK_EVERY_MS = 200;
/** What a client is told while something is away, and may ask again. */
const TRY_AGAIN = new Set(['STORE_UNAVAILABLE', 'BROKER_UNAVAILABLE']);

const OBSERVED = `id state attempts completedAt error { code message }
  prediction { ... on TensorsPrediction { outputs { name datatype shape base64 } } }`;
const SUBMIT = 'mutation ($input: PredictionInput!) { submitPrediction(input: $input) { id } }';
const SUBMIT_ALL = 'mutation ($inputs: [PredictionInput!]!) { submitPredictions(inputs: $inputs) { id } }';
const RESULTS = `query ($ids: [ID!]!) { results(ids: $ids) { ${OBSERVED} } }`;
const COMPLETIONS = `subscription ($ids: [ID!]!) { tasksCompleted(ids: $ids) { ${OBSERVED} } }`;

/** A task at the end of a case. */
export interface EndedTask extends Observed {
  attempts: number;
  error: { code: string; message: string } | null;
}

/** One case of the fault suite: what is submitted and asked for goes through it, so that at the end all of it is checked. */
export interface FaultCase {
  checker: Checker;
  random: Random;
  /** Submits one; resolves with its id, or with nothing where the service said no. */
  submit(client: Client, sample: Sample): Promise<string | undefined>;
  /** Submits up to 1,000, all of which must be taken; their ids, in order. */
  submitAll(client: Client, samples: readonly Sample[]): Promise<string[]>;
  /**
   * Subscribes to the completion of these, and, as a real client does, again and again where the stream ends without
   * `complete`, at the API that `clientOf` names then.
   */
  subscribe(ids: readonly string[], clientOf: () => Client): void;
  /** Resolves once every subscription so far has begun: its listeners are there. */
  listening(): Promise<void>;
  /** How many tasks were told to somebody so far. */
  toldCount(): number;
  /** Resolves once that many were. */
  told(count: number): Promise<void>;
  /**
   * Waits for every subscription to end, or for the last news to be as old as `withinMs`; then reads every result, and expects
   * that there were no faults.
   */
  verify(client: Client, options: { withinMs: number }): Promise<Map<string, EndedTask>>;
}

/** Of every case of this run; vitest.config.ts sets it. */
const SEED = Number(process.env['FAULT_SEED']);

/** Begins a case of a test. `title` stands in the report. */
export function startCase({ task }: Pick<TestContext, 'task'>, title: string): FaultCase {
  const report: FaultReport = { title, seed: SEED };
  task.meta.fault = report;
  const random = createRandom(SEED);
  const checker = new Checker();
  const told = new Set<string>();
  const waiting = new Set<{ count: number; resolve: () => void }>();
  const closing = new AbortController();
  onTestFinished(() => closing.abort());
  const subscriptions: { begun: Promise<void>; ended: Promise<void> }[] = [];

  let heardAt = performance.now();
  const hear = (subscription: Told, task: EndedTask) => {
    heardAt = performance.now();
    subscription.completed(task);
    told.add(task.id);
    for (const waiter of waiting) if (told.size >= waiter.count) waiter.resolve();
  };

  return {
    checker,
    random,
    async submit(client, sample) {
      const askedAt = performance.now();
      const answer = await client
        .ask<{ submitPrediction: { id: string } }>(SUBMIT, { input: sample.input })
        .catch(() => undefined);
      const id = answer?.data?.submitPrediction.id;
      if (id === undefined) checker.refused(performance.now() - askedAt);
      else checker.accepted(id, sample);
      return id;
    },
    async submitAll(client, samples) {
      const inputs = samples.map(({ input }) => input);
      const { submitPredictions } = await client.get<{ submitPredictions: { id: string }[] }>(SUBMIT_ALL, { inputs });
      for (const [i, { id }] of submitPredictions.entries()) {
        checker.accepted(id, samples[i] ?? { outputs: [] });
      }
      return submitPredictions.map(({ id }) => id);
    },
    subscribe(ids, clientOf) {
      const subscription = checker.subscribed(ids);
      const { promise: begun, resolve: connected } = Promise.withResolvers<void>();
      const ended = follow(ids, { clientOf, subscription, hear, connected, signal: closing.signal });
      subscriptions.push({ begun: Promise.race([begun, ended]), ended });
    },
    listening: async () => void (await Promise.all(subscriptions.map(({ begun }) => begun))),
    toldCount: () => told.size,
    told: (count) =>
      new Promise((resolve) => {
        if (told.size >= count) resolve();
        else waiting.add({ count, resolve });
      }),
    async verify(client, { withinMs }) {
      heardAt = performance.now();
      const hasNews = () => performance.now() - heardAt < withinMs;
      const allEnded = Promise.all(subscriptions.map(({ ended }) => ended)).then(() => true);
      while (!(await Promise.race([allEnded, sleep(LOOK_EVERY_MS, false)])) && hasNews());
      closing.abort();
      const ended = await readResults(client, checker, hasNews);
      report.counts = checker.counts();
      report.slowestRefusalMs = checker.slowestRefusalMs();
      expect(shown(checker)).toEqual([]);
      expect(report.slowestRefusalMs).toBeLessThan(REFUSAL_MS_MAX);
      return ended;
    },
  };
}

interface Following {
  clientOf: () => Client;
  subscription: Told;
  hear(subscription: Told, task: EndedTask): void;
  connected(): void;
  signal: AbortSignal;
}

/** A subscription from its beginning to its `complete`, over as many streams as it takes. */
async function follow(ids: readonly string[], following: Following): Promise<void> {
  const { clientOf, subscription, hear, connected, signal } = following;
  while (!signal.aborted) {
    subscription.began();
    try {
      const stream = clientOf().stream<EndedTask>('tasksCompleted', COMPLETIONS, { ids }, { signal, connected });
      for await (const task of stream) hear(subscription, task);
      return;
    } catch (error) {
      if (error instanceof AnsweredErrors && !error.codes.every((code) => TRY_AGAIN.has(code))) {
        subscription.gaveUp(error.message);
        return;
      }
      await sleep(COMING_BACK_MS * (0.5 + Math.random()));
    }
  }
}

/** Reads every result, again where one is not terminal yet, and tells the checker the last of each. */
async function readResults(client: Client, checker: Checker, mayWait: () => boolean): Promise<Map<string, EndedTask>> {
  const ended = new Map<string, EndedTask>();
  for (let open = checker.ids(); open.length > 0; ) {
    for (let at = 0; at < open.length; at += RESULTS_AT_A_TIME) {
      const ids = open.slice(at, at + RESULTS_AT_A_TIME);
      const { results } = await client.get<{ results: (EndedTask | null)[] }>(RESULTS, { ids });
      for (const [i, id] of ids.entries()) {
        const task = results[i] ?? null;
        checker.stored(id, task);
        if (task) ended.set(id, task);
      }
    }
    open = open.filter((id) => !isEnded(ended.get(id) ?? null));
    if (!mayWait()) break;
    if (open.length > 0) await sleep(LOOK_EVERY_MS);
  }
  return ended;
}

/** Some of the faults, as sentences. */
function shown(checker: Checker): string[] {
  const faults = checker.faults();
  return FAULTS.flatMap((fault) => faults[fault].slice(0, SHOWN_MAX).map((sentence) => `${fault}: ${sentence}`));
}
