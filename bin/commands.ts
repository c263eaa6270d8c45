import { messageOf } from '../src/errors.ts';
import { PACKAGE_VERSION } from '../src/process/package.ts';
import { oneLine } from '../src/process/printable.ts';
import { type Command, complain, helpOf, print, readGiven, table, USAGE_EXIT, UsageError } from './command.ts';
import { modelsAddCommand } from './models-add.ts';
import { modelsCheckCommand } from './models-check.ts';
import { modelsInspectCommand } from './models-inspect.ts';
import { PROCESS_COMMANDS } from './process.ts';
import { submitCommand } from './submit.ts';
import { watchCommand } from './watch.ts';

const COMMANDS: readonly Command[] = [
  ...PROCESS_COMMANDS,
  modelsInspectCommand,
  modelsAddCommand,
  modelsCheckCommand,
  submitCommand,
  watchCommand,
];

/** Runs a command line and sets the exit code. */
export async function main(args: string[]): Promise<void> {
  process.exitCode = await run(args);
}

async function run(args: string[]): Promise<number | undefined> {
  const command = COMMANDS.find(({ name }) => name.split(' ').every((word, i) => args[i] === word));
  endWithoutReader(command);
  try {
    if (!command) return general(args);
    const given = readGiven(command, args.slice(command.name.split(' ').length));
    if (given) return await command.run(given);
    print(helpOf(command));
    return 0;
  } catch (error) {
    const isUsage = error instanceof UsageError;
    const see = isUsage ? ` (see foretell ${command ? `${command.name} ` : ''}--help)` : '';
    complain(`${oneLine(messageOf(error).replace(/\s*\n\s*/g, ' '))}${see}`);
    return isUsage ? USAGE_EXIT : 1;
  }
}

/** The reader of standard output may close it, as `head` does, or the disk may be full. A process that serves goes on. */
function endWithoutReader(command: Command | undefined): void {
  const serves = command && PROCESS_COMMANDS.includes(command);
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (serves) return;
    if (error.code !== 'EPIPE') process.stderr.write(`foretell: standard output: ${error.message}\n`);
    process.exit(1);
  });
}

/** Handles a command line without a command. */
function general(args: string[]): number {
  const [first] = args;
  const isHelp = args.some((arg) => arg === '--help' || arg === '-h');
  if (first === '--version') {
    process.stdout.write(`${PACKAGE_VERSION}\n`);
    return 0;
  }
  if (isHelp || first === undefined) {
    process[isHelp ? 'stdout' : 'stderr'].write(overview());
    return isHelp ? 0 : USAGE_EXIT;
  }
  if (first.startsWith('-')) throw new UsageError(`unknown option "${first}"`);
  const siblings = COMMANDS.filter(({ name }) => name.startsWith(`${first} `));
  const wrong = args[1] === undefined ? '' : `unknown command "${first} ${args[1]}"; `;
  if (siblings.length === 0) throw new UsageError(`unknown command "${first}"`);
  throw new UsageError(`${wrong}expected one of ${siblings.map(({ name }) => name).join(', ')}`);
}

function overview(): string {
  const rows = COMMANDS.map(({ name, operand, purpose }): [string, string] => [
    [name, operand].filter(Boolean).join(' '),
    purpose,
  ]);
  return `Usage: foretell COMMAND

${table(rows)}

foretell COMMAND --help prints the options of a command; foretell --version prints ${PACKAGE_VERSION}.
`;
}
