import { mkdir, mkdtemp, readdir, rename, rm, stat } from 'node:fs/promises';
import { hostname, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { copyOwn, linkFault } from './own-files.ts';
import { versionFiles } from './version-files.ts';

/** Of this machine and process: another machine's may lie in the same directory. */
const PREFIX = `foretell-worker-${hostname()}-`;

/** Of this process. Another with its number is of one before it: in a container all have the same. */
const roots = new Set<string>();

/**
 * A worker's own copies of the model files it serves. Whatever becomes of the originals, in place or by a rename, a task that was
 * submitted runs on the very content that it was submitted for, also in an inference process that starts later.
 */
export interface PrivateCopies {
  /** Copies the files of a version's directory until `signal` aborts; resolves with the copy's directory. Throws where a link leads out of it. */
  add(directory: string, signal: AbortSignal): Promise<string>;
  /** Whether all of a copy is there still: many systems clear their temporary directory of what nobody has opened for days. */
  has(copy: string): Promise<boolean>;
  /** Puts a copy in the place of another, which was lost. */
  replace(lost: string, copy: string): Promise<void>;
  /** Removes all others. */
  keepOnly(copies: ReadonlySet<string>): Promise<void>;
  /** Removes all of them. */
  close(): Promise<void>;
}

/** Copies go to the system's temporary directory. Those of workers that were killed are removed first. */
export async function openPrivateCopies(): Promise<PrivateCopies> {
  await removeOrphans();
  const root = await mkdtemp(join(tmpdir(), `${PREFIX}${process.pid}-`));
  roots.add(root);
  /** Files of each copy. */
  const sizes = new Map<string, number>();
  let copies = 0;
  return {
    async add(directory, signal) {
      const files = await versionFiles(directory);
      for (const { path, leadsOut } of files) {
        if (leadsOut) throw new Error(linkFault(directory, path, await isDirectory(join(directory, path))));
      }
      copies += 1;
      const copy = join(root, `${copies}`);
      await mkdir(root, { recursive: true, mode: 0o700 });
      await mkdir(copy);
      sizes.set(copy, files.length);
      for (const { path } of files) {
        await mkdir(dirname(join(copy, path)), { recursive: true });
        await copyOwn(directory, path, join(copy, path), signal);
      }
      return copy;
    },
    async has(copy) {
      const files = await versionFiles(copy).catch(() => []);
      return files.length === sizes.get(copy);
    },
    async replace(lost, copy) {
      await rm(lost, { recursive: true, force: true });
      await rename(copy, lost);
    },
    async keepOnly(kept) {
      const unwanted = (await readdir(root).catch(() => []))
        .map((name) => join(root, name))
        .filter((copy) => !kept.has(copy));
      await Promise.all(unwanted.map((copy) => rm(copy, { recursive: true, force: true })));
      for (const copy of sizes.keys()) if (!kept.has(copy)) sizes.delete(copy);
    },
    async close() {
      await rm(root, { recursive: true, force: true });
      roots.delete(root);
    },
  };
}

function isDirectory(path: string): Promise<boolean> {
  return stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  );
}

async function removeOrphans(): Promise<void> {
  for (const name of await readdir(tmpdir())) {
    const [pid = ''] = name.startsWith(PREFIX) ? name.slice(PREFIX.length).split('-') : [];
    const root = join(tmpdir(), name);
    if (/^\d+$/.test(pid) && !isInUse(root, Number(pid))) {
      // Another user's is theirs to remove.
      await rm(root, { recursive: true, force: true }).catch(() => undefined);
    }
  }
}

function isInUse(root: string, pid: number): boolean {
  if (pid === process.pid) return roots.has(root);
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // Another user's process may not be signalled, and lives.
    return error instanceof Error && 'code' in error && error.code === 'EPERM';
  }
}
