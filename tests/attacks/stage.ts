import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { expect, onTestFinished, type TestContext } from 'vitest';
import { inferencePids, type RunningProcess } from '../support/processes.ts';
import { residentMib } from '../support/vital-signs.ts';
import { Attacker } from './attacker.ts';
import type { BystanderInput, Observation } from './observation.ts';

export const KEYS = { a: 'Kx7Qw2Zr9Tb4Ny6Lm1Vd8Sh3', b: 'Pf5Jc8Ru2Gk7Wn4Xz9Bt6Qe1' };
export const KEY_SETTINGS = { API_KEYS: `a:${KEYS.a},b:${KEYS.b}` };

/** What B waits at most, whatever A does. */
const WAIT_MS_MAX = 2_500;
/** Answers that B has before the attack, and after it. */
const QUIET = 8;
const SAMPLE_EVERY_MS = 50;
/** An attack goes on for as long as it does something, and no longer than this. */
const ATTACK_MS = 10_000;
/** A few more are given up after 150 s. */
const TEST_MS = 240_000;

export const ATTACK_TEST = { timeout: TEST_MS };

/** What an attack cost, for the reporter. */
export interface AttackReport {
  title: string;
  worstMs: number;
  /** The worst wait before the attack, or under A's ordinary load where that was measured. */
  ordinaryMs: number;
  tasks: number;
  refused: number;
  failed: number;
  peakMib: Record<string, number>;
}

declare module 'vitest' {
  interface TaskMeta {
    attack?: AttackReport;
  }
}

export interface Attack {
  title: string;
  /** The processes that must not end. */
  processes: Readonly<Record<string, RunningProcess>>;
  api: RunningProcess;
  /** What B submits. @default iris */
  bystander?: BystanderInput;
  /** Between two of B's submissions, in milliseconds. @default 150 */
  everyMs?: number;
  /** What is there before B begins. */
  prepare?: (a: Attacker) => Promise<unknown>;
  /** What A does on an ordinary day: B's worst wait then counts twice, if that is more than two and a half seconds. */
  ordinary?: (a: Attacker, signal: AbortSignal) => Promise<unknown>;
  act: (a: Attacker, signal: AbortSignal) => Promise<unknown>;
}

/** Has A attack while B submits and watches; expects that no process ends, that B is refused nothing, and that B waits no longer than it may. */
export async function attack({ task }: Pick<TestContext, 'task'>, options: Attack): Promise<AttackReport> {
  const { title, processes, api, bystander = 'iris', everyMs = 150, prepare, ordinary, act } = options;
  const a = new Attacker(api.url, KEYS.a);
  onTestFinished(() => a.close());
  await prepare?.(a);
  const b = startBystander(api.url, bystander, everyMs);
  const peaks = watchMemory(processes);
  await b.more(QUIET);
  if (ordinary) await during(a, ordinary);
  const ordinaryMs = b.worstMs();
  const before = b.observations.length;
  await during(a, act);
  await b.more(QUIET);
  a.close();
  await b.end();

  const seen = b.observations.slice(before);
  const refusals = seen.flatMap(({ refused }) => refused ?? []);
  const failures = seen.flatMap(({ failed }) => failed ?? []);
  const worstMs = Math.max(...seen.map(({ ms }) => ms));
  const report: AttackReport = {
    title,
    worstMs,
    ordinaryMs,
    tasks: seen.length,
    refused: refusals.length,
    failed: failures.length,
    peakMib: peaks(),
  };
  task.meta.attack = report;
  const gone = Object.entries(processes).flatMap(([name, each]) => (each.isAlive() ? [] : [name]));
  expect({ gone, refusals, failures }).toEqual({ gone: [], refusals: [], failures: [] });
  expect(worstMs).toBeLessThan(Math.max(WAIT_MS_MAX, ordinary ? 2 * ordinaryMs : 0));
  return report;
}

async function during(a: Attacker, act: (a: Attacker, signal: AbortSignal) => Promise<unknown>): Promise<void> {
  const over = new AbortController();
  const timer = setTimeout(() => over.abort(), ATTACK_MS);
  // An attack whose every answer has to be waited for may be held up for longer; it is cut off then.
  await Promise.race([act(a, over.signal).catch(() => undefined), sleep(2 * ATTACK_MS, undefined, { ref: false })]);
  clearTimeout(timer);
  over.abort();
}

function startBystander(url: string, input: BystanderInput, everyMs: number) {
  const script = fileURLToPath(new URL('bystander.ts', import.meta.url));
  const child: ChildProcess = spawn(process.execPath, [script, `${url}/graphql`, KEYS.b, input, String(everyMs)], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  onTestFinished(() => void child.kill('SIGKILL'));
  const observations: Observation[] = [];
  let heard = Promise.withResolvers<void>();
  if (child.stdout) {
    createInterface({ input: child.stdout }).on('line', (line) => {
      observations.push(JSON.parse(line) as Observation);
      heard.resolve();
      heard = Promise.withResolvers();
    });
  }
  return {
    observations,
    worstMs: () => Math.max(0, ...observations.map(({ ms }) => ms)),
    /** Resolves once so many more have ended. */
    async more(count: number): Promise<void> {
      const wanted = observations.length + count;
      while (observations.length < wanted) await heard.promise;
    },
    /** Resolves once all that B has submitted have ended. */
    async end(): Promise<void> {
      const ended = once(child, 'exit');
      child.stdin?.end();
      await ended;
    },
  };
}

/** The most that each process has taken, in MiB, looked at again and again; inference processes are taken together. */
function watchMemory(processes: Readonly<Record<string, RunningProcess>>): () => Record<string, number> {
  const peaks: Record<string, number> = {};
  const note = (name: string, mib: number) => {
    // A process that has just ended says nothing.
    if (mib > 0) peaks[name] = Math.max(peaks[name] ?? 0, Math.round(mib));
  };
  const over = new AbortController();
  onTestFinished(() => over.abort());
  void (async () => {
    while (!over.signal.aborted) {
      for (const [name, running] of Object.entries(processes)) {
        note(name, await residentMib(running.pid).catch(() => 0));
        const children = await inferencePids(running).catch(() => []);
        if (children.length === 0) continue;
        const mib = await Promise.all(children.map((pid) => residentMib(pid).catch(() => 0)));
        note(
          'inference',
          mib.reduce((sum, each) => sum + each, 0),
        );
      }
      await sleep(SAMPLE_EVERY_MS);
    }
  })();
  return () => {
    over.abort();
    return peaks;
  };
}
