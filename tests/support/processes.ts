import { type ChildProcess, spawn } from 'node:child_process';
import { EventEmitter, once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { onTestFinished } from 'vitest';
import { childPids } from './child-pids.ts';
import { freePort } from './free-port.ts';

/** The npm scripts. */
export type Command = 'api' | 'worker' | 'start';

/** The commands of `foretell` that they run. */
const COMMANDS: Record<Command, string> = { api: 'api', worker: 'worker', start: 'serve' };

const ENTRY = fileURLToPath(new URL('../../bin/foretell.ts', import.meta.url));

/** Where and how a command of Foretell's is run. */
export interface Place {
  /** @default the root of the repository */
  cwd?: string;
  /** The program, and what stands before the command. @default what is in the repository */
  foretell?: [program: string, ...args: string[]];
  /** What it finds on its standard input. @default nothing */
  input?: string;
}

/** What is in the repository, with so many file descriptors at most. */
export function withDescriptors(most: number): Place {
  return { foretell: ['sh', '-c', `ulimit -n ${most}; exec "$@"`, 'sh', process.execPath, ENTRY] };
}

const PROBE_PAUSE_MS = 25;

/** A process of Foretell's own, as an operator starts it. */
export interface RunningProcess {
  /** `http://127.0.0.1:<port>`: of the API, or of a worker's health. */
  readonly url: string;
  readonly pid: number;
  isAlive(): boolean;
  /** What it has printed so far, standard output and standard error. */
  output(): string;
  /** The first line that matches, of those that are there or of those to come; rejects if the process ends without one. */
  line(pattern: RegExp): Promise<string>;
  /** The HTTP status of a health path; 0 while nobody listens. */
  probe(path: '/healthz' | '/readyz'): Promise<number>;
  /** Waits until `/readyz` answers 200; rejects if the process ends before. */
  ready(): Promise<void>;
  /** Waits until `/readyz` answers 503. */
  unready(): Promise<void>;
  /** Keeps it from doing anything; its connections stay open, and its own processes go on. */
  pause(): void;
  resume(): void;
  /** Sends a signal and resolves, when the process is gone, with its exit code: `null` if the signal ended it. */
  kill(signal: NodeJS.Signals): Promise<number | null>;
}

/** Settings of a process; nothing else of this process's environment gets in. */
export type Settings = Record<string, string>;

/** Processes that a test run which ends early must not leave behind. */
const orphans = new Set<ChildProcess>();
process.once('exit', () => {
  for (const orphan of orphans) orphan.kill('SIGKILL');
});

/** Starts a command on a free port; it is killed when the test has finished, if it still runs. */
export async function startProcess(
  command: Command,
  settings: Settings = {},
  place: Place = {},
): Promise<RunningProcess> {
  const port = settings['PORT'] ?? settings['WORKER_PORT'] ?? String(await freePort());
  const portSetting = { [command === 'worker' ? 'WORKER_PORT' : 'PORT']: port };
  const child = spawnForetell([COMMANDS[command]], { ...portSetting, ...settings }, place);
  const lines: string[] = [];
  const events = new EventEmitter().setMaxListeners(0);
  for (const stream of [child.stdout, child.stderr]) {
    createInterface({ input: stream }).on('line', (line) => {
      lines.push(line);
      events.emit('line', line);
    });
  }
  const closed = once(child, 'close').then(() => events.emit('end'));
  const isAlive = () => child.exitCode === null && child.signalCode === null;
  const url = `http://127.0.0.1:${port}`;

  async function kill(signal: NodeJS.Signals): Promise<number | null> {
    child.kill(signal);
    await closed;
    return child.exitCode;
  }
  async function probe(path: string): Promise<number> {
    const status = fetch(url + path).then(async (response) => {
      await response.arrayBuffer();
      return response.status;
    });
    return status.catch(() => 0);
  }
  async function answers(status: number): Promise<void> {
    while ((await probe('/readyz')) !== status) {
      if (!isAlive()) throw new Error(`${command} ended, and /readyz never said ${status}:\n${lines.join('\n')}`);
      await sleep(PROBE_PAUSE_MS);
    }
  }

  onTestFinished(async () => void (await kill('SIGKILL')));
  return {
    url,
    pid: child.pid ?? -1,
    isAlive,
    output: () => lines.join('\n'),
    line: (pattern) =>
      new Promise((resolve, reject) => {
        const look = (line: string) => pattern.test(line) && resolve(line);
        lines.forEach(look);
        events.on('line', look);
        const end = () => reject(new Error(`${command} ended and never said ${pattern}:\n${lines.join('\n')}`));
        if (isAlive()) events.once('end', end);
        else void closed.then(end);
      }),
    probe,
    ready: () => answers(200),
    unready: () => answers(503),
    pause: () => void child.kill('SIGSTOP'),
    resume: () => void child.kill('SIGCONT'),
    kill,
  };
}

/** What a command that ends by itself has left. */
export interface Ended {
  code: number | null;
  stdout: string;
  stderr: string;
}

/** Runs what an npm script runs to its end. */
export function runCommand(command: Command, args: string[], settings: Settings = {}): Promise<Ended> {
  return runForetell([COMMANDS[command], ...args], settings);
}

/** Runs a command of Foretell's to its end. */
export function runForetell(args: string[], settings: Settings = {}, place: Place = {}): Promise<Ended> {
  return endOf(spawnForetell(args, settings, place));
}

/** Runs any program to its end, in the root of the repository; `settings` join this process's environment. */
export function runProgram(program: string, args: string[], settings: Settings = {}): Promise<Ended> {
  return endOf(spawnTracked(program, args, { ...process.env, ...settings }));
}

/** The inference processes of a worker: its children. */
export function inferencePids({ pid }: RunningProcess): Promise<number[]> {
  return childPids(pid);
}

/** Hundredths of a second that a process has computed so far; `undefined` if it is gone. */
export async function cpuTicks(pid: number): Promise<number | undefined> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => undefined);
  // The second field is the program's name in parentheses, which may hold spaces; utime is the 14th.
  const [state, ...fields] = stat?.slice(stat.lastIndexOf(')') + 2).split(' ') ?? [];
  return state === undefined || state === 'Z' ? undefined : Number(fields[10]);
}

function spawnForetell(args: string[], settings: Settings, { foretell, ...place }: Place) {
  const [program, ...before] = foretell ?? [process.execPath, ENTRY];
  const { PATH, NODE_COMPILE_CACHE } = process.env;
  return spawnTracked(program, [...before, ...args], { PATH, NODE_COMPILE_CACHE, ...settings }, place);
}

function spawnTracked(program: string, args: string[], env: NodeJS.ProcessEnv, place: Omit<Place, 'foretell'> = {}) {
  const child = spawn(program, args, { env, cwd: place.cwd, stdio: ['pipe', 'pipe', 'pipe'] });
  // Who ends without having read it has no use for it.
  child.stdin.on('error', () => undefined).end(place.input);
  orphans.add(child);
  child.once('close', () => orphans.delete(child));
  return child;
}

async function endOf(child: ReturnType<typeof spawnTracked>): Promise<Ended> {
  const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')]);
  return { code: child.exitCode, stdout, stderr };
}

async function text(stream: Readable): Promise<string> {
  return Buffer.concat(await stream.toArray()).toString();
}
