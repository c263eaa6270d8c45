import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { access, chmod, mkdir, mkdtemp, readFile, realpath, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { type Channel, connect } from 'amqplib';
import { requireBinary } from './binaries.ts';
import type { Certificates } from './certificates.ts';
import { freePort } from './free-port.ts';

/** A RabbitMQ of one's own: private ports, node name, data and cookie, so that a test may kill it. */
export interface Rabbitmq {
  readonly url: string;
  /** The same over TLS, where it was given certificates. */
  readonly tlsUrl: string | undefined;
  /** What the nodes of a cluster call it. */
  readonly name: string;
  readonly pid: number;
  /** Starts it again after `stop` or `kill`: same ports, same data. */
  start(): Promise<void>;
  /** Ends it as an operator would. */
  stop(): Promise<void>;
  /** SIGKILL: what it had not written is gone. */
  kill(): Promise<void>;
  /**
   * Writes down which quorum queues there are. RabbitMQ 3.10 does that half a second after a queue was made; killed
   * earlier, it loses the queue with every message that it had confirmed, and the queue answers nobody from then on.
   */
  flushQueueNames(): Promise<void>;
  /** Runs `rabbitmqctl` against it and resolves with what it printed. */
  ctl(...args: string[]): Promise<string>;
  /** A bare channel, for what the broker's interface rightly does not offer. */
  withChannel<T>(use: (channel: Channel) => Promise<T>): Promise<T>;
  /** Stops it and removes its data. */
  close(): Promise<void>;
}

const START_TIMEOUT_MS = 60_000;

export interface RabbitmqOptions {
  /** One that the test has told to somebody before. */
  port?: number;
  /** The secret that the nodes of a cluster share. */
  cookie?: string;
  /** Virtual hosts that it has from the start, beside `/`. */
  vhosts?: readonly string[];
  /** Listens with TLS as well, on a port of its own. */
  tls?: Certificates;
}

export async function startRabbitmq(options: RabbitmqOptions = {}): Promise<Rabbitmq> {
  const node = await prepare(options);
  const remove = () => rm(node.directory, { recursive: true, force: true });
  let beam = await boot(node).catch(async (error) => {
    await remove();
    throw error;
  });
  const end = async (signal: NodeJS.Signals) => {
    if (beam.exitCode !== null || beam.signalCode !== null) return;
    beam.ref();
    const exited = once(beam, 'exit');
    beam.kill(signal);
    await exited;
  };
  const ctl = async (...args: string[]) => {
    const { stdout } = await promisify(execFile)(join(node.scripts, 'rabbitmqctl'), args, { env: node.env });
    return stdout;
  };
  return {
    url: node.url,
    tlsUrl: node.tlsUrl,
    name: node.name,
    get pid() {
      return beam.pid ?? -1;
    },
    start: async () => {
      await end('SIGTERM');
      beam = await boot(node);
    },
    stop: () => end('SIGTERM'),
    kill: () => end('SIGKILL'),
    flushQueueNames: async () => {
      await ctl('eval', 'ok = dets:sync(ra_directory_reverse).');
    },
    ctl,
    withChannel: (use) => withChannel(node.url, use),
    close: async () => {
      await end('SIGKILL');
      await remove();
    },
  };
}

interface Node {
  directory: string;
  scripts: string;
  name: string;
  url: string;
  tlsUrl: string | undefined;
  env: NodeJS.ProcessEnv;
}

async function prepare(options: RabbitmqOptions): Promise<Node> {
  const { port = await freePort(), cookie = randomBytes(16).toString('hex'), vhosts = [], tls } = options;
  const tlsPort = tls && (await freePort());
  const scripts = await findScripts();
  const directory = await mkdtemp(join(tmpdir(), 'foretell-rabbitmq-'));
  const distributionPort = await freePort();
  const name = `foretell-${randomBytes(6).toString('hex')}@localhost`;
  const path = (name: string) => join(directory, name);
  await mkdir(path('home'));
  await writeFile(path('home/.erlang.cookie'), cookie ?? randomBytes(16).toString('hex'));
  await chmod(path('home/.erlang.cookie'), 0o400);
  await writeFile(path('enabled_plugins'), '[].');
  await writeFile(path('rabbitmq-env.conf'), '');
  // The free space of a test machine is not what is tested. Terms of Erlang, because a rabbitmq.conf is checked against
  // the schema of every plugin, which takes a second.
  const terms = ['{disk_free_limit, 1000000}', '{log, [{file, [{level, warning}]}]}'];
  if (tls) terms.push(...tlsTerms(tls, tlsPort));
  if (vhosts.length > 0) {
    await writeFile(path('definitions.json'), JSON.stringify(definitionsOf(['/', ...vhosts])));
    terms.push(`{load_definitions, "${path('definitions.json')}"}`);
  }
  await writeFile(path('advanced.config'), `[{rabbit, [${terms.join(', ')}]}].`);
  return {
    directory,
    scripts,
    name,
    url: `amqp://127.0.0.1:${port}`,
    tlsUrl: tlsPort === undefined ? undefined : `amqps://localhost:${tlsPort}`,
    env: {
      PATH: process.env['PATH'],
      LANG: 'C.UTF-8',
      HOME: path('home'),
      ERL_EPMD_ADDRESS: '127.0.0.1',
      ERL_CRASH_DUMP: path('erl_crash.dump'),
      RABBITMQ_NODENAME: name,
      RABBITMQ_NODE_IP_ADDRESS: '127.0.0.1',
      RABBITMQ_NODE_PORT: String(port),
      RABBITMQ_DIST_PORT: String(distributionPort),
      RABBITMQ_CONF_ENV_FILE: path('rabbitmq-env.conf'),
      RABBITMQ_CONFIG_FILE: path('rabbitmq.conf'),
      RABBITMQ_ADVANCED_CONFIG_FILE: path('advanced.config'),
      RABBITMQ_ENABLED_PLUGINS_FILE: path('enabled_plugins'),
      RABBITMQ_MNESIA_BASE: path('data'),
      RABBITMQ_LOG_BASE: path('log'),
      RABBITMQ_PID_FILE: path('pid'),
      RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS: '+S 1:1 +sbwt none -kernel inet_dist_use_interface {127,0,0,1}',
      // Makes the start script become the server instead of waiting for it, so that the child's pid is the beam's.
      RUNNING_UNDER_SYSTEMD: 'true',
    },
  };
}

/** What it loads when it starts: some milliseconds for each virtual host, while each `rabbitmqctl add_vhost` takes a second. */
function definitionsOf(vhosts: readonly string[]) {
  const user = 'guest';
  return {
    users: [{ name: user, password: user, tags: ['administrator'] }],
    vhosts: vhosts.map((name) => ({ name })),
    permissions: vhosts.map((vhost) => ({ user, vhost, configure: '.*', write: '.*', read: '.*' })),
  };
}

function tlsTerms({ ca, cert, key }: Certificates, port: number | undefined): string[] {
  const files = `{cacertfile, "${ca}"}, {certfile, "${cert}"}, {keyfile, "${key}"}`;
  return [`{ssl_listeners, [{"127.0.0.1", ${port}}]}`, `{ssl_options, [${files}, {verify, verify_none}]}`];
}

/** Debian's commands in /usr/sbin change to the user rabbitmq, who may not read our directories; the real ones lie elsewhere. */
async function findScripts(): Promise<string> {
  const command = await requireBinary('rabbitmq-server', 'rabbitmq-server');
  const debian = '/usr/lib/rabbitmq/bin';
  const isDebian = await access(join(debian, 'rabbitmq-server')).then(
    () => true,
    () => false,
  );
  return isDebian ? debian : dirname(await realpath(command));
}

async function boot(node: Node): Promise<ChildProcess> {
  // Detached, so that Ctrl-C in a terminal reaches the test run and not the beam, which would ask what to do.
  const beam = spawn(join(node.scripts, 'rabbitmq-server'), { env: node.env, stdio: 'ignore', detached: true });
  const guard = guardAgainstOrphan(beam, node.directory);
  beam.once('exit', () => guard.kill('SIGKILL'));
  beam.unref();
  const deadline = AbortSignal.timeout(START_TIMEOUT_MS);
  while (!(await opens(node.url))) {
    if (beam.exitCode !== null || beam.signalCode !== null || deadline.aborted) {
      beam.kill('SIGKILL');
      const log = await readFile(join(node.directory, 'log', `${node.name}.log`), 'utf8').catch(() => '');
      throw new Error(`rabbitmq-server did not start (exit code ${beam.exitCode}):\n${log.slice(-4_000)}`);
    }
    await sleep(50);
  }
  return beam;
}

/** A shell that reads until this process is gone, however it went, and then ends the beam that it would leave behind. */
function guardAgainstOrphan(beam: ChildProcess, directory: string): ChildProcess {
  const script = 'cat >/dev/null; kill -9 "$1"; sleep 1; rm -rf "$2"';
  const guard = spawn('sh', ['-c', script, 'guard', String(beam.pid), directory], {
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true,
  });
  guard.unref();
  if (guard.stdin && 'unref' in guard.stdin && typeof guard.stdin.unref === 'function') guard.stdin.unref();
  return guard;
}

function opens(url: string): Promise<boolean> {
  return withChannel(url, async () => true).catch(() => false);
}

/** Opens a bare channel for as long as it is used. */
export async function withChannel<T>(url: string, use: (channel: Channel) => Promise<T>): Promise<T> {
  const model = await connect(url, { timeout: 5_000 });
  model.on('error', () => undefined);
  try {
    const channel = await model.createChannel();
    channel.on('error', () => undefined);
    return await use(channel);
  } finally {
    await model.close().catch(() => undefined);
  }
}
