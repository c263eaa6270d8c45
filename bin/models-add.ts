import { mkdir, mkdtemp, readdir, rename, rm } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { VERSION_NAME } from '../src/models/manifest.ts';
import { readModelsDir } from '../src/process/config.ts';
import { oneLine } from '../src/process/printable.ts';
import { leftOutText } from '../workers/inference/left-out.ts';
import { readModelTree } from '../workers/repository/model-tree.ts';
import { sharingNote } from '../workers/repository/sharing-note.ts';
import { type Command, type Given, print, UsageError } from './command.ts';
import { type Inspection, identityOf, inspect } from './inspection.ts';

export const modelsAddCommand: Command = {
  name: 'models add',
  operand: 'FILE',
  purpose: 'Checks an ONNX file, and copies it and its files of weights into MODELS_DIR',
  options: {
    name: {
      value: 'NAME',
      purpose: 'name of the model; default: the name of the file, or NAME if the file is NAME/VERSION/model.onnx',
    },
    version: { value: 'N', purpose: 'a whole number; default: the highest version plus one, or 1 for a new model' },
  },
  settings: ['MODELS_DIR'],
  notes: 'A running worker serves the new version without a restart. Existing files are never overwritten.',
  async run(given) {
    const modelsDir = readModelsDir(given.settings, false);
    const { operand: file = '' } = given;
    const name = nameOf(file, given);
    const taken = await versionsOf(join(modelsDir, name));
    const free = String(Math.max(0, ...taken) + 1);
    const version = given.values['version'] ?? free;
    if (!VERSION_NAME.test(version)) throw new UsageError(`--version: expected a whole number, got "${version}"`);
    const place = join(modelsDir, name, version);
    if (taken.includes(Number(version))) throw new Error(`${place} exists already; version ${free} is free`);
    const { model } = await add(file, { modelsDir, name, version });
    print(`${oneLine(`${join(place, 'model.onnx')}: version ${version} of model "${name}"`)}\n`);
    print(`Note: ${oneLine(sharingNote(model)).replace(/\.?$/, '.')}\n`);
    for (const output of model.leftOut) print(`Note: ${oneLine(leftOutText(output))}.\n`);
    return 0;
  },
};

function nameOf(file: string, { values }: Given): string {
  const name = values['name'] ?? identityOf(file).name;
  if (name !== basename(name) || name === '' || name.startsWith('.')) {
    throw new UsageError(`--name: expected a name without slashes that does not begin with a dot, got "${name}"`);
  }
  return name;
}

async function versionsOf(directory: string): Promise<number[]> {
  const entries = await readdir(directory).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return [];
    throw error;
  });
  return entries.filter((entry) => VERSION_NAME.test(entry)).map(Number);
}

/**
 * Copies to a directory that no worker looks at, shows there that it can be served, and moves it in by one step, so that no worker
 * ever sees half of it.
 */
async function add(file: string, to: { modelsDir: string; name: string; version: string }): Promise<Inspection> {
  const { modelsDir, name, version } = to;
  await mkdir(modelsDir, { recursive: true });
  const staging = await mkdtemp(join(modelsDir, '.adding-'));
  const directory = join(staging, name, version);
  try {
    await mkdir(directory, { recursive: true });
    const { faults } = await readModelTree(staging, undefined);
    for (const { message } of faults) throw new Error(message.replaceAll(staging, modelsDir));
    const identity = { name, version, manifestFile: join(modelsDir, name, 'model.json') };
    const inspection = await inspect(file, identity, directory);
    await moveIn(join(staging, name), to);
    return inspection;
  } finally {
    await rm(staging, { recursive: true, force: true });
  }
}

/** A new model moves in with its first version: a directory without a version would be an error. */
async function moveIn(staged: string, { modelsDir, name, version }: Parameters<typeof add>[1]): Promise<void> {
  const home = join(modelsDir, name);
  try {
    await rename(staged, home);
  } catch (error) {
    const { code } = Object(error) as NodeJS.ErrnoException;
    if (code !== 'ENOTEMPTY' && code !== 'EEXIST') throw error;
    await rename(join(staged, version), join(home, version));
  }
}
