import { type ParseArgsOptionsConfig, parseArgs } from 'node:util';
import { messageOf } from '../src/errors.ts';
import { oneLine, printable } from '../src/process/printable.ts';
import { describeSettings, SECRET_SETTINGS } from '../src/process/settings.ts';

/** One thing that `foretell` does. */
export interface Command {
  /** As it is typed: `models add`. */
  name: string;
  /** What may stand behind it, in brackets where it may be left out: `FILE`, `[INPUT]`. */
  operand?: string;
  /** In one line. */
  purpose: string;
  options?: Record<string, Option>;
  /** The settings that it reads; each is an option as well, unless it may hold a secret. */
  settings?: readonly string[];
  /** What its help says beyond its options. */
  notes?: string;
  /** Resolves with the exit code; with `undefined` where the process goes on. */
  run(given: Given): Promise<number | undefined>;
}

export interface Option {
  /** What its value is called; an option without is on or off. */
  value?: string;
  purpose: string;
}

/** What was typed behind a command's name. */
export interface Given {
  operand: string | undefined;
  /** Values by the names of their options. */
  values: Record<string, string | undefined>;
  flags: ReadonlySet<string>;
  /** Values of settings that were given as options, by the settings' names. */
  settings: Record<string, string | undefined>;
}

/** What a command prints for whoever asked, with what came from files made harmless to a terminal. */
export function print(text: string): void {
  process.stdout.write(printable(text));
}

/** A fault, or a note, on standard error. */
export function complain(text: string): void {
  process.stderr.write(`foretell: ${printable(text)}\n`);
}

/** What was typed is wrong: one line that names it. */
export class UsageError extends Error {}

/** Exit code where what was typed, or a setting, is wrong. */
export const USAGE_EXIT = 2;

/** Reads what stands behind the name of a command; `undefined` where that asks for help. Throws `UsageError`. */
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
    // What follows in Node's message is advice on how to type an argument that begins with a dash.
    throw new UsageError(messageOf(error).split(/\.? To specify a|\n/)[0]);
  }
}

/** A command line is seen by everybody on the machine: no place for a secret. */
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

/** Two columns, set in from the left; a row is one line, whatever is in it. */
export function table(rows: readonly (readonly [string, string])[]): string {
  const width = Math.max(0, ...rows.map(([first]) => first.length));
  return rows.map(([first, second]) => `  ${oneLine(first).padEnd(width)}  ${oneLine(second)}`.trimEnd()).join('\n');
}
