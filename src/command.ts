import { parseArgs } from 'node:util';
import { type Command, type Config, ConfigError, readConfig } from './config.ts';
import { messageOf } from './errors.ts';
import { closeOnSignal, createLifecycle, type Lifecycle } from './lifecycle.ts';
import { createLog, type Log } from './log.ts';
import { describeSettings } from './settings.ts';

const PURPOSE: Record<Command, string> = {
  start: 'npm start: API, worker and inference processes in one; broker and store in the process unless set',
  api: 'npm run api: the GraphQL API, on RabbitMQ and Redis',
  worker: 'npm run worker: a worker with its inference processes, on RabbitMQ and Redis',
};

/**
 * What every process does around its own work: `--help`, settings or one line for each that is wrong, a log, signals.
 * A start that fails closes what was opened, says why in one line, and exits with 1.
 */
export async function runCommand(
  command: Command,
  start: (config: Config, log: Log, lifecycle: Lifecycle) => Promise<void>,
): Promise<void> {
  const config = configOrExit(command);
  const log = createLog(config.logLevel, command);
  const lifecycle = createLifecycle(log);
  closeOnSignal(lifecycle, config.graceMs, log);
  try {
    await start(config, log, lifecycle);
  } catch (error) {
    process.stderr.write(`foretell: ${messageOf(error)}\n`);
    log.debug({ err: error }, 'start failed');
    await lifecycle.close();
    process.exit(1);
  }
}

function configOrExit(command: Command): Config {
  try {
    const { values } = parseArgs({ options: { help: { type: 'boolean', short: 'h' } }, allowPositionals: false });
    if (values.help) {
      process.stdout.write(helpText(command));
      process.exit(0);
    }
    return readConfig(command);
  } catch (error) {
    const message = messageOf(error);
    const lines = error instanceof ConfigError ? message.split('\n') : [`${message.split('\n')[0]} (see --help)`];
    for (const line of lines) process.stderr.write(`foretell: ${line}\n`);
    process.exit(2);
  }
}

function helpText(command: Command): string {
  const rows = describeSettings().map(
    ({ name, default: fallback, description }) => `  ${name.padEnd(22)} ${description}${fallback && ` (${fallback})`}`,
  );
  return `${PURPOSE[command]}\n\nSettings are environment variables, with the default in brackets:\n\n${rows.join('\n')}\n`;
}
