import type { Dirent, Stats } from 'node:fs';
import { lstat, readdir, realpath, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { isWithin } from './own-files.ts';

/** A file of a version: `model.onnx`, or one of those that may hold its weights, beside it or in folders there. */
export interface VersionFile {
  /** From the version's directory down. */
  path: string;
  stats: Stats;
  /** It is a link, to a file or a folder, that leads out of the version's directory: not looked into, and never served. */
  leadsOut?: boolean;
}

/** Folders within folders: exporters make one, at most. */
const DEPTH_MAX = 8;

/**
 * What lies in a version's directory and below it, sorted. Passed over is what is no file, what cannot be followed, and folders that
 * begin with a dot (a ConfigMap keeps all that it ever was in such ones) or may not be read (a disk's own `lost+found`).
 */
export async function versionFiles(directory: string): Promise<VersionFile[]> {
  const files = await filesBelow({ directory, root: await realpath(directory) }, '', []);
  return files.sort((a, b) => (a.path < b.path ? -1 : 1));
}

interface Version {
  directory: string;
  /** The same without links. */
  root: string;
}

/** @param above the folders that lead there: a link to one of them would go round for ever */
async function filesBelow(version: Version, below: string, above: readonly string[]): Promise<VersionFile[]> {
  const place = await realpath(join(version.directory, below));
  if (above.includes(place) || above.length > DEPTH_MAX) return [];
  const entries = await readdir(place, { withFileTypes: true });
  const found = await Promise.all(
    entries.map((entry) => filesAt(version, join(below, entry.name), entry, [...above, place])),
  );
  return found.flat();
}

async function filesAt(
  version: Version,
  path: string,
  entry: Dirent,
  above: readonly string[],
): Promise<VersionFile[]> {
  const file = join(version.directory, path);
  // Only a link leads anywhere else than where its folder is.
  if (entry.isSymbolicLink() && (await leadsOut(version.root, file))) {
    const stats = await lstat(file).catch(passOver('ENOENT'));
    return stats ? [{ path, stats, leadsOut: true }] : [];
  }
  const stats = await stat(file).catch(passOver('ENOENT', 'ELOOP'));
  if (stats?.isFile()) return [{ path, stats }];
  if (!stats?.isDirectory() || entry.name.startsWith('.')) return [];
  return (await filesBelow(version, path, above).catch(passOver('ENOENT', 'EACCES'))) ?? [];
}

/** `false` for a link that leads nowhere. */
async function leadsOut(root: string, link: string): Promise<boolean> {
  const place = await realpath(link).catch(passOver('ENOENT', 'ELOOP', 'ENOTDIR', 'EACCES'));
  return place !== undefined && !isWithin(root, place);
}

function passOver(...codes: string[]): (error: NodeJS.ErrnoException) => undefined {
  return (error) => {
    if (!codes.includes(error.code ?? '')) throw error;
  };
}
