import { messageOf } from '../src/errors.ts';
import { type Config, ConfigError, readConfig } from '../src/process/config.ts';
import { followKeyFile, warnOfWeakKeys } from '../src/process/key-file.ts';
import { closeOnSignal, createLifecycle, type Lifecycle, readOnSignal } from '../src/process/lifecycle.ts';
import { createLog, type Log } from '../src/process/log.ts';
import { describeSettings } from '../src/process/settings.ts';
import { type Command, complain, type Given, USAGE_EXIT } from './command.ts';
import type { Start } from './start.ts';

type ProcessName = Parameters<typeof readConfig>[0];

/** A command that starts a process, which goes on until a signal ends it. Only what it needs is loaded. */
function processCommand(name: string, process: ProcessName, purpose: string, load: () => Promise<Start>): Command {
  const settings = describeSettings().map((setting) => setting.name);
  return { name, purpose, settings, run: (given) => run(process, given, load) };
}

export const PROCESS_COMMANDS: readonly Command[] = [
  processCommand(
    'serve',
    'start',
    'API, worker and inference processes in one command; broker and store in memory unless set (npm start)',
    async () => (await import('./serve.ts')).serve,
  ),
  processCommand(
    'api',
    'api',
    'The GraphQL API, on RabbitMQ and Redis (npm run api)',
    async () => (await import('./api.ts')).api,
  ),
  processCommand(
    'worker',
    'worker',
    'A worker with its inference processes, on RabbitMQ and Redis (npm run worker)',
    async () => (await import('./worker.ts')).worker,
  ),
];

/**
 * What every process does around its own work: settings or one line for each that is wrong, a log, signals.
 * A start that fails closes what was opened, says why in one line, and exits with 1.
 */
async function run(name: ProcessName, given: Given, load: () => Promise<Start>): Promise<number | undefined> {
  const config = readOrSay(name, given);
  if (!config) return USAGE_EXIT;
  const log = createLog(config.logLevel, name);
  const lifecycle = createLifecycle(log);
  closeOnSignal(lifecycle, config.graceMs, log);
  followKeys(config, log, lifecycle);
  try {
    const start = await load();
    await start(config, log, lifecycle);
    return undefined;
  } catch (error) {
    complain(messageOf(error));
    log.debug({ err: error }, 'start failed');
    await lifecycle.close();
    process.exit(1);
  }
}

function followKeys({ apiKeys: keys, apiKeysFile: path, metricsKey }: Config, log: Log, lifecycle: Lifecycle): void {
  warnOfWeakKeys('API_KEYS', keys, log);
  if (metricsKey) warnOfWeakKeys('METRICS_KEY', metricsKey, log);
  const file = path === undefined ? undefined : followKeyFile({ path, keys, log });
  lifecycle.onClose(() => file?.close());
  readOnSignal(async () => file?.read(), log);
}

function readOrSay(name: ProcessName, { settings }: Given): Config | undefined {
  try {
    return readConfig(name, undefined, settings);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    for (const line of error.message.split('\n')) complain(line);
    return undefined;
  }
}
