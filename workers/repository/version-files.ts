import type { Stats } from 'node:fs';
import { readdir, realpath, stat } from 'node:fs/promises';
import { join } from 'node:path';

/** A file of a version: `model.onnx`, or one of those that may hold its weights, beside it or in folders there. */
export interface VersionFile {
  /** From the version's directory down. */
  path: string;
  stats: Stats;
}

/** Folders within folders: exporters make one, at most. */
const DEPTH_MAX = 8;

/**
 * What lies in a version's directory and below it, sorted. Passed over is what is no file, what cannot be followed, and folders that
 * begin with a dot (a ConfigMap keeps all that it ever was in such ones) or may not be read (a disk's own `lost+found`).
 */
export async function versionFiles(directory: string): Promise<VersionFile[]> {
  const files = await filesBelow(directory, '', []);
  return files.sort((a, b) => (a.path < b.path ? -1 : 1));
}

/** @param above the folders that lead there: a link to one of them would go round for ever */
async function filesBelow(directory: string, below: string, above: readonly string[]): Promise<VersionFile[]> {
  const place = await realpath(join(directory, below));
  if (above.includes(place) || above.length > DEPTH_MAX) return [];
  const names = await readdir(place);
  const found = await Promise.all(
    names.map(async (name): Promise<VersionFile[]> => {
      const path = join(below, name);
      const stats = await stat(join(directory, path)).catch(passOver('ENOENT', 'ELOOP'));
      if (stats?.isFile()) return [{ path, stats }];
      if (!stats?.isDirectory() || name.startsWith('.')) return [];
      return (await filesBelow(directory, path, [...above, place]).catch(passOver('ENOENT', 'EACCES'))) ?? [];
    }),
  );
  return found.flat();
}

function passOver(...codes: string[]): (error: NodeJS.ErrnoException) => undefined {
  return (error) => {
    if (!codes.includes(error.code ?? '')) throw error;
  };
}

/** Throws where something is no file: nobody may ever write to a pipe, and a device may never end. */
export function requireFile(found: Stats): void {
  if (found.isFile()) return;
  throw new Error(`expected a file, got ${found.isDirectory() ? 'a directory' : 'a pipe, a socket or a device'}`);
}
