import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { requireBinary } from './binaries.ts';
import type { Certificates } from './certificates.ts';
import { freePort } from './free-port.ts';

const START_MS_MAX = 10_000;

/** A Redis of the test's own: nobody else's data, settings or port. */
export interface RedisServer {
  url: string;
  /** The same over TLS, where it was given certificates. */
  tlsUrl: string | undefined;
  port: number;
  /** Of the process that runs at present. */
  readonly pid: number;
  /** Starts it again, on the same port, with what it had written to disk. */
  start(): Promise<void>;
  /** Ends it in good order. */
  stop(): Promise<void>;
  /** Ends it as a crash would. */
  kill(): Promise<void>;
  /** Keeps it from answering while its connections stay open: the peer of a half-open connection. */
  pause(): void;
  resume(): void;
  /** What `redis-cli` prints for a command. */
  cli(...command: string[]): Promise<string>;
  /** Ends it and removes its directory. */
  close(): Promise<void>;
}

/** Servers that a test process which ends early must not leave behind. */
const orphans = new Set<ChildProcess>();
process.once('exit', () => {
  for (const orphan of orphans) orphan.kill('SIGKILL');
});

export interface RedisOptions {
  appendonly?: boolean;
  /** One that the test has told to somebody before. */
  port?: number;
  /** Listens with TLS as well, on a port of its own. */
  tls?: Certificates;
}

export async function startRedis(options: RedisOptions = {}): Promise<RedisServer> {
  const binary = await requireBinary('redis-server', 'redis-server');
  const cli = await requireBinary('redis-cli', 'redis-tools');
  const directory = await mkdtemp(join(tmpdir(), 'foretell-redis-'));
  const port = options.port ?? (await freePort());
  const args = ['--port', `${port}`, '--bind', '127.0.0.1', '--dir', directory, '--save', '', '--daemonize', 'no'];
  args.push('--appendonly', options.appendonly ? 'yes' : 'no', '--logfile', join(directory, 'redis.log'));
  const tlsPort = options.tls && (await freePort());
  if (options.tls) {
    const { ca, cert, key } = options.tls;
    args.push('--tls-port', `${tlsPort}`, '--tls-auth-clients', 'no');
    args.push('--tls-ca-cert-file', ca, '--tls-cert-file', cert, '--tls-key-file', key);
  }
  let child: ChildProcess;

  async function start(): Promise<void> {
    child = spawn(binary, args, { stdio: 'ignore' });
    orphans.add(child);
    const deadline = Date.now() + START_MS_MAX;
    while (!(await answersPing(port))) {
      if (child.exitCode !== null || Date.now() > deadline) {
        const log = await readFile(join(directory, 'redis.log'), 'utf8').catch(() => '(no log)');
        throw new Error(`redis-server does not answer on port ${port}; its log ends with: ${log.slice(-1_000)}`);
      }
      await sleep(10);
    }
  }

  async function end(signal: NodeJS.Signals): Promise<void> {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, 'exit');
    child.kill(signal);
    await exited;
    orphans.delete(child);
  }

  await start();
  return {
    url: `redis://127.0.0.1:${port}`,
    tlsUrl: tlsPort === undefined ? undefined : `rediss://localhost:${tlsPort}`,
    port,
    get pid() {
      return child.pid ?? -1;
    },
    start,
    stop: () => end('SIGTERM'),
    kill: () => end('SIGKILL'),
    pause: () => void child.kill('SIGSTOP'),
    resume: () => void child.kill('SIGCONT'),
    async cli(...command) {
      const { stdout } = await promisify(execFile)(cli, ['-p', `${port}`, ...command]);
      return stdout.trimEnd();
    },
    async close() {
      await end('SIGKILL');
      await rm(directory, { recursive: true, force: true });
    },
  };
}

function answersPing(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => socket.write('PING\r\n'));
    const answer = (pong: boolean) => {
      socket.destroy();
      resolve(pong);
    };
    // While it loads its data it answers "-LOADING".
    socket.once('data', (data) => answer(data.toString().startsWith('+PONG')));
    socket.once('error', () => answer(false));
    socket.once('close', () => answer(false));
  });
}
