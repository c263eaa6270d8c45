import { type ParseArgsOptionsConfig, parseArgs } from 'node:util';
import { messageOf } from '../src/errors.ts';
import { oneLine, printable } from '../src/process/printable.ts';
import { describeSettings, SECRET_SETTINGS } from '../src/process/settings.ts';

/** One thing that `foretell` does. */
export interface Command {
  /** As users type it: `models add`. */
  name: string;
  /** Its argument, in brackets if it is optional: `FILE`, `[INPUT]`. */
  operand?: string;
  /** In one line. */
  purpose: string;
  options?: Record<string, Option>;
  /** The settings that it reads; each is also an option, unless it may hold a secret. */
  settings?: readonly string[];
  /** Printed by --help after the options. */
  notes?: string;
  /** Resolves with the exit code; with `undefined` where the process goes on. */
  run(given: Given): Promise<number | undefined>;
}

export interface Option {
  /** The name of its value; an option without a value is on or off. */
  value?: string;
  purpose: string;
}

/** The parsed arguments of a command. */
export interface Given {
  operand: string | undefined;
  /** Values by the names of their options. */
  values: Record<string, string | undefined>;
  flags: ReadonlySet<string>;
  /** Values of settings that were given as options, by the settings' names. */
  settings: Record<string, string | undefined>;
}

/** Prints the result of a command. Control characters that came from files are escaped. */
export function print(text: string): void {
  process.stdout.write(printable(text));
}

/** Prints an error or a note on standard error. */
export function complain(text: string): void {
  process.stderr.write(`foretell: ${printable(text)}\n`);
}

/** The command line is wrong; the message is one line. */
export class UsageError extends Error {}

/** Exit code for a wrong command line or setting. */
export const USAGE_EXIT = 2;

/** Parses the arguments after the name of a command; `undefined` if they ask for help. Throws `UsageError`. */
export function readGiven(command: Command, args: string[]): Given | undefined {
  const { values, positionals } = parse(command, args);
  if (values['help']) return undefined;
  const [operand, surplus] = command.operand === undefined ? [undefined, ...positionals] : positionals;
  if (surplus !== undefined) {
    const expected = command.operand === undefined ? '' : `: expected one argument, ${command.operand}`;
    const file = command.options?.['file'] ? `; to read it from a file: --file ${surplus}` : '';
    throw new UsageError(`unexpected argument "${surplus}"${expected}${file}`);
  }
  if (command.operand && operand === undefined && !command.operand.startsWith('[')) {
    throw new UsageError(`expected ${command.operand}`);
  }
  const texts = Object.fromEntries(
    Object.entries(values).flatMap(([name, value]) => (typeof value === 'string' ? [[name, value]] : [])),
  );
  return {
    operand,
    values: texts,
    flags: new Set(Object.keys(values).filter((name) => values[name] === true)),
    settings: Object.fromEntries(openSettings(command).map((setting) => [setting, texts[optionOf(setting)]])),
  };
}

function parse(command: Command, args: string[]) {
  const options: ParseArgsOptionsConfig = { help: { type: 'boolean', short: 'h' } };
  for (const [name, { value }] of Object.entries(command.options ?? {})) {
    options[name] = { type: value === undefined ? 'boolean' : 'string' };
  }
  for (const setting of openSettings(command)) options[optionOf(setting)] = { type: 'string' };
  try {
    return parseArgs({ args, options, allowPositionals: true });
  } catch (error) {
    // The rest of Node's message explains how to pass an argument that begins with a dash.
    throw new UsageError(messageOf(error).split(/\.? To specify a|\n/)[0]);
  }
}

/** Every user of the machine can read a command line, so secrets are not options. */
function openSettings({ settings = [] }: Command): string[] {
  return settings.filter((setting) => !SECRET_SETTINGS.has(setting));
}

/** `MODELS_DIR` is `--models-dir`. */
function optionOf(setting: string): string {
  return setting.toLowerCase().replaceAll('_', '-');
}

/** What `foretell COMMAND --help` prints. */
export function helpOf(command: Command): string {
  const { name, operand, purpose, options = {}, notes } = command;
  const usage = ['foretell', name, operand, '[OPTIONS]'].filter(Boolean).join(' ');
  const rows = Object.entries(options).map(([option, { value, purpose }]): [string, string] => [
    `--${option}${value === undefined ? '' : ` ${value}`}`,
    purpose,
  ]);
  const parts = [`Usage: ${usage}`, `${purpose}.`, table(rows), settingsTable(command), notes];
  return `${parts.filter(Boolean).join('\n\n')}\n`;
}

function settingsTable({ settings = [] }: Command): string {
  const rows = describeSettings()
    .filter(({ name }) => settings.includes(name))
    .map(({ name, default: fallback, description }): [string, string] => [
      name,
      `${description}${fallback && ` (${fallback})`}`,
    ]);
  const [first] = settings;
  if (first === undefined) return '';
  const option = `Each is an option too, ${first} as --${optionOf(first)}, except those that may hold a password`;
  return `Settings are environment variables; their defaults are in brackets. ${option}:\n\n${table(rows)}`;
}

/** Two indented columns; each row is one line, whatever it contains. */
export function table(rows: readonly (readonly [string, string])[]): string {
  const width = Math.max(0, ...rows.map(([first]) => first.length));
  return rows.map(([first, second]) => `  ${oneLine(first).padEnd(width)}  ${oneLine(second)}`.trimEnd()).join('\n');
}
