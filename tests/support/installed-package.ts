import { chmod, mkdir, mkdtemp, readdir, readFile, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join, resolve } from 'node:path';
import { requireBinary } from './binaries.ts';
import { runProgram, type Settings } from './processes.ts';

/** A folder that Foretell was installed in from its package. */
export interface InstalledPackage {
  directory: string;
  /** The command, as npm links it. */
  bin: string;
  /** With these, `node` is the Node that runs the tests. */
  settings: Settings;
  remove(): Promise<void>;
}

/**
 * Packs Foretell as `npm publish` would, and unpacks it as `npm install` would: the package's own files, JavaScript below node_modules,
 * and beside it those packages alone that its package.json names. These are links to the repository's, so that no registry is needed.
 */
export async function installPackage(): Promise<InstalledPackage> {
  const directory = await mkdtemp(join(tmpdir(), 'foretell-installed-'));
  await run('npm', ['pack', '--pack-destination', directory]);
  const [tarball = ''] = await readdir(directory);
  const modules = join(directory, 'node_modules');
  const home = join(modules, 'foretell');
  await mkdir(home, { recursive: true });
  const tar = await requireBinary('tar', 'tar');
  await run(tar, ['-xzf', join(directory, tarball), '-C', home, '--strip-components=1']);
  const manifest = JSON.parse(await readFile(join(home, 'package.json'), 'utf8'));
  for (const name of Object.keys(manifest.dependencies)) {
    await mkdir(dirname(join(modules, name)), { recursive: true });
    await symlink(resolve('node_modules', name), join(modules, name));
  }
  const bin = join(modules, '.bin', 'foretell');
  await mkdir(dirname(bin));
  await symlink(join(home, manifest.bin.foretell), bin);
  await chmod(join(home, manifest.bin.foretell), 0o755);
  return {
    directory,
    bin,
    settings: { PATH: `${dirname(process.execPath)}${delimiter}${process.env['PATH']}` },
    remove: () => rm(directory, { recursive: true, force: true }),
  };
}

async function run(program: string, args: string[]): Promise<void> {
  const { code, stderr } = await runProgram(program, args);
  if (code !== 0) throw new Error(`${program} ${args.join(' ')} ended with ${code}: ${stderr}`);
}
