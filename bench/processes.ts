import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { childPids } from '../tests/support/child-pids.ts';
import type { Reading } from './probe.ts';

const ROOT = join(import.meta.dirname, '..');
const PROBE = join(import.meta.dirname, 'probe.ts');

/** A process that is measured. */
export interface Measured {
  readonly pid: number;
  /** What it says of itself. */
  read(): Promise<Reading>;
  /** Seconds that it has computed so far, its children included. */
  cpuSeconds(): Promise<number>;
  pause(): void;
  resume(): void;
  close(): Promise<void>;
}

const running = new Set<ChildProcess>();
process.once('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

/** Starts a file of the project with Node, and waits until `/readyz` answers. */
export async function startMeasured(options: {
  file: string;
  args?: string[];
  env: Record<string, string>;
  readyUrl: string;
  /** Where to leave a CPU profile, and by what name. */
  profile?: { directory: string; name: string } | undefined;
}): Promise<Measured> {
  const { file, args = [], env, readyUrl, profile } = options;
  const profiling = profile
    ? ['--cpu-prof', '--cpu-prof-dir', profile.directory, '--cpu-prof-name', `${profile.name}.cpuprofile`]
    : [];
  const child = spawn(process.execPath, ['--expose-gc', '--import', PROBE, ...profiling, join(ROOT, file), ...args], {
    cwd: ROOT,
    env: { ...process.env, LOG_LEVEL: 'error', ...env },
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
  running.add(child);
  const closed = once(child, 'close').then(() => running.delete(child));
  const pid = child.pid ?? -1;
  await answering(readyUrl, child);
  return {
    pid,
    read: async () => {
      const answer = once(child, 'message');
      child.send('read');
      const [reading] = await answer;
      return reading as Reading;
    },
    cpuSeconds: () => cpuSecondsOf(pid),
    pause: () => void child.kill('SIGSTOP'),
    resume: () => void child.kill('SIGCONT'),
    close: async () => {
      child.kill('SIGCONT');
      child.kill('SIGTERM');
      await closed;
    },
  };
}

async function answering(url: string, child: ChildProcess): Promise<void> {
  const isReady = () =>
    fetch(url).then(
      ({ ok }) => ok,
      () => false,
    );
  while (!(await isReady())) {
    if (child.exitCode !== null) throw new Error(`the process of ${url} ended at its start`);
    await sleep(5);
  }
}

/** User and system time of a process and of those that it has started, from Linux's /proc. */
export async function cpuSecondsOf(pid: number): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const pids = await childPids(pid).catch(() => []);
  const own = (Number(fields[11] ?? 0) + Number(fields[12] ?? 0)) / 100;
  const theirs = await Promise.all(pids.map(cpuSecondsOf));
  return own + theirs.reduce((sum, seconds) => sum + seconds, 0);
}
