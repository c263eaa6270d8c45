import { constants, type Stats } from 'node:fs';
import { copyFile, type FileHandle, open, realpath, stat } from 'node:fs/promises';
import { join, sep } from 'node:path';
import { pipeline } from 'node:stream/promises';

const CHUNK_BYTES = 1024 * 1024;

/** Whether a place, without links, lies in a directory, without links. */
export function isWithin(root: string, place: string): boolean {
  return place === root || place.startsWith(root.endsWith(sep) ? root : `${root}${sep}`);
}

/** What is said of a link that leads out of a version's directory, with the command that puts what it leads to in its place. */
export function linkFault(directory: string, path: string, isFolder = false): string {
  const link = quoted(join(directory, path));
  const copy = quoted(`${join(directory, path)}.copy`);
  const command = isFolder
    ? `cp -rL ${link} ${copy} && rm ${link} && mv ${copy} ${link}`
    : `cp -L ${link} ${copy} && mv ${copy} ${link}`;
  return `${path} is a link that leads out of the version's folder; expected the ${isFolder ? 'folder' : 'file'} itself: ${command}`;
}

/**
 * Opens a file of a version's directory. Throws where it lies elsewhere, by a link of its own or of a folder on the way; what
 * was opened is looked at, so that nobody can put a link in its place meanwhile.
 */
async function openOwn(directory: string, path: string): Promise<FileHandle> {
  const root = await realpath(directory);
  const place = await realpath(join(directory, path)).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT') throw error;
    throw Object.assign(new Error(`${path} does not exist`), { code: error.code });
  });
  if (!isWithin(root, place)) throw await linkOnTheWay(root, directory, path);
  // To open a pipe would wait for somebody to write to it.
  const handle = await open(place, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOFOLLOW);
  try {
    const opened = await handle.stat();
    requireFile(opened);
    const found = await stat(place);
    const isThat = (await realpath(place)) === place && found.ino === opened.ino && found.dev === opened.dev;
    if (!isThat) throw new Error(`${path} was replaced while it was read`);
    return handle;
  } catch (error) {
    await handle.close();
    throw error;
  }
}

/** What is wrong where a file lies elsewhere: which of the folders on the way, or the file itself, is the link. */
async function linkOnTheWay(root: string, directory: string, path: string): Promise<Error> {
  const parts = path.split(sep);
  for (let i = 1; i < parts.length; i += 1) {
    const folder = join(...parts.slice(0, i));
    if (!isWithin(root, await realpath(join(directory, folder)))) return new Error(linkFault(directory, folder, true));
  }
  return new Error(linkFault(directory, path));
}

/** Copies a file of a version's directory. Where the file system can, the copy shares its blocks with the original until one of them is changed. */
export async function copyOwn(directory: string, path: string, copy: string, signal?: AbortSignal): Promise<void> {
  const handle = await openOwn(directory, path);
  try {
    // The very file that was opened, where the system has a name for it.
    const opened = process.platform === 'linux' ? `/proc/self/fd/${handle.fd}` : join(directory, path);
    await copyFile(opened, copy, constants.COPYFILE_FICLONE_FORCE);
  } catch {
    // Not by the system's own copying: gigabytes take it many seconds, in which the process could not end.
    const written = await open(copy, 'w');
    const read = handle.createReadStream({ highWaterMark: CHUNK_BYTES, start: 0, autoClose: false });
    await pipeline(read, written.createWriteStream({ highWaterMark: CHUNK_BYTES }), { signal });
  } finally {
    await handle.close();
  }
}

/** As a shell takes it. */
function quoted(path: string): string {
  return /^[\w@%+=:,./-]+$/.test(path) ? path : `'${path.replaceAll("'", "'\\''")}'`;
}

/** Throws where something is no file: nobody may ever write to a pipe, and a device may never end. */
export function requireFile(found: Stats): void {
  if (found.isFile()) return;
  throw new Error(`expected a file, got ${found.isDirectory() ? 'a directory' : 'a pipe, a socket or a device'}`);
}
