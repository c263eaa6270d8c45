import type { Stats } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { messageOf } from '../../src/errors.ts';
import { VERSION_NAME } from '../../src/models/manifest.ts';
import { ModelFault } from './model-fault.ts';
import { versionFiles } from './version-files.ts';

/** One version of a model as it lies in the directory of models. */
export interface VersionFiles {
  name: string;
  version: string;
  /** Of the version: `model.onnx`, and the weights beside or below it where the model keeps them apart. */
  directory: string;
  /** `model.json` of the model; it need not be there. */
  manifestFile: string;
  /** Says another thing once any of the version's files is another. */
  stamp: string;
  /** The same of the manifest. */
  manifestStamp: string;
}

export interface ModelTree {
  versions: VersionFiles[];
  faults: ModelFault[];
  /** Models of which nothing is known because they could not be read: what was served of them is served still. */
  unread: Set<string>;
  /** Whether not even the names could be read. */
  isUnreadable: boolean;
}

/** A queue is named after its model, and AMQP gives that name 255 bytes. */
const NAME_BYTES_MAX = 180;
/** The tensors API's field of the GraphQL input that models are fields of. */
const RESERVED_NAME = 'tensors';

/** Looks at `<modelsDir>/<name>/model.json` and `<modelsDir>/<name>/<version>/*`, of the chosen names, without reading what is in the files. */
export async function readModelTree(modelsDir: string, chosen: readonly string[] | undefined): Promise<ModelTree> {
  const tree: ModelTree = { versions: [], faults: [], unread: new Set(), isUnreadable: false };
  let names: string[];
  try {
    names = (await directoriesIn(modelsDir)).filter((name) => chosen?.includes(name) ?? true);
  } catch (error) {
    tree.faults.push(new ModelFault({}, modelsDir, messageOf(error)));
    tree.isUnreadable = true;
    return tree;
  }
  for (const name of names) {
    const path = join(modelsDir, name);
    try {
      tree.versions.push(...(await versionsIn(path, name)));
    } catch (error) {
      if (error instanceof ModelFault) tree.faults.push(error);
      else {
        tree.faults.push(new ModelFault({ name }, path, messageOf(error)));
        tree.unread.add(name);
      }
    }
  }
  return tree;
}

async function versionsIn(path: string, name: string): Promise<VersionFiles[]> {
  if (name === RESERVED_NAME) {
    throw new ModelFault(
      { name },
      path,
      `a model cannot be named "${name}": the API uses this name for the tensors of any model`,
    );
  }
  const bytes = Buffer.byteLength(name);
  if (bytes > NAME_BYTES_MAX) {
    throw new ModelFault({ name }, path, `the name is ${bytes} bytes long; expected at most ${NAME_BYTES_MAX}`);
  }
  const versions = (await directoriesIn(path)).filter((entry) => VERSION_NAME.test(entry));
  if (versions.length === 0) {
    const expected = `expected a directory for each version, named by a whole number, as in ${join(path, '1', 'model.onnx')}`;
    throw new ModelFault({ name }, path, expected);
  }
  const manifestFile = join(path, 'model.json');
  // Not there, or not to be looked at: whoever reads it will say so.
  const manifestStamp = await stat(manifestFile).then(stampOf, () => 'none');
  return Promise.all(
    versions.map(async (version): Promise<VersionFiles> => {
      const directory = join(path, version);
      const stamp = await stampOfFilesIn(directory);
      return { name, version, directory, manifestFile, stamp, manifestStamp };
    }),
  );
}

/** Of all files of a version. */
export async function stampOfFilesIn(directory: string): Promise<string> {
  return (await versionFiles(directory)).map(({ path, stats }) => `${path} ${stampOf(stats)}`).join('\n');
}

function stampOf({ size, mtimeMs, ctimeMs, ino }: Stats): string {
  return `${size} ${mtimeMs} ${ctimeMs} ${ino}`;
}

/** Names of the directories, links to directories included; sorted. What begins with a dot is somebody else's. */
export async function directoriesIn(path: string): Promise<string[]> {
  const isDirectory = (name: string) => stat(join(path, name)).then((found) => found.isDirectory());
  const visible = (await readdir(path)).filter((name) => !name.startsWith('.'));
  const flags = await Promise.all(visible.map((name) => isDirectory(name).catch(() => false)));
  return visible.filter((_, i) => flags[i]).sort();
}

/** Tells the versions of all models apart. */
export function versionKeyOf({ name, version }: { name: string; version: string }): string {
  return `${name}/${version}`;
}

/** Whether nothing was changed between two looks. */
export function isSame(a: VersionFiles | undefined, b: VersionFiles): boolean {
  return a?.stamp === b.stamp && a.manifestStamp === b.manifestStamp;
}
