import { spawn } from 'node:child_process';
import { access, constants } from 'node:fs/promises';
import { delimiter, join } from 'node:path';

/** Where Debian puts servers, which the PATH of a plain user does not name. */
const SERVER_DIRECTORIES = ['/usr/local/sbin', '/usr/sbin', '/sbin', '/usr/lib/rabbitmq/bin'];

let installing: Promise<unknown> = Promise.resolve();

/**
 * The absolute path of a server that tests start for themselves. Where it is missing it is installed (root on Debian or
 * Ubuntu), elsewhere the error says what to type.
 */
export function requireBinary(name: string, debianPackage: string): Promise<string> {
  return requirePackage(name, debianPackage, () => findBinary(name));
}

/** The same of a path that a package brings. */
export function requireFiles(path: string, debianPackage: string): Promise<string> {
  return requirePackage(path, debianPackage, () =>
    access(path).then(
      () => path,
      () => undefined,
    ),
  );
}

async function requirePackage(
  name: string,
  debianPackage: string,
  find: () => Promise<string | undefined>,
): Promise<string> {
  const found = await find();
  if (found) return found;
  const command = `apt-get update && apt-get install -y --no-install-recommends ${debianPackage}`;
  if (process.getuid?.() !== 0 || !(await findBinary('apt-get'))) {
    throw new Error(`${name} is missing; tests start it for themselves. On Debian or Ubuntu: sudo sh -c '${command}'`);
  }
  // One at a time: apt-get holds a lock and fails where another holds it.
  const installed = installing.then(() => install(name, command));
  installing = installed.catch(() => undefined);
  await installed;
  const path = await find();
  if (!path) throw new Error(`${name} is still missing after: ${command}`);
  return path;
}

async function findBinary(name: string): Promise<string | undefined> {
  for (const directory of [...(process.env['PATH'] ?? '').split(delimiter), ...SERVER_DIRECTORIES]) {
    const path = join(directory, name);
    const executable = await access(path, constants.X_OK).then(
      () => true,
      () => false,
    );
    if (directory !== '' && executable) return path;
  }
  return undefined;
}

function install(name: string, command: string): Promise<void> {
  process.stderr.write(`tests: ${name} is missing; installing it: ${command}\n`);
  return new Promise((resolve, reject) => {
    const child = spawn('sh', ['-c', command], {
      stdio: ['ignore', 'ignore', 'inherit'],
      // RUNLEVEL=1 tells invoke-rc.d that this is single-user mode, so that the package starts no service of its own.
      env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive', RUNLEVEL: '1' },
    });
    child.once('error', reject);
    child.once('exit', (code) => {
      if (code === 0) resolve();
      else reject(new Error(`${name} is missing, and this failed: ${command}`));
    });
  });
}
