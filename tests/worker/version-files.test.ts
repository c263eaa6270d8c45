import { execFileSync } from 'node:child_process';
import { mkdir, readFile, realpath, rename, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { copyOwn } from '../../workers/repository/own-files.ts';
import { openPrivateCopies } from '../../workers/repository/private-copies.ts';
import { versionFiles } from '../../workers/repository/version-files.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';

/** A version's folder below a directory of models, with a file outside both. */
async function version() {
  const place = await temporaryDirectory();
  const directory = join(place, 'models', 'm', '1');
  await mkdir(directory, { recursive: true });
  await writeFile(join(directory, 'model.onnx'), 'model');
  await mkdir(join(place, 'elsewhere'));
  await writeFile(join(place, 'elsewhere', 'w.bin'), 'secret');
  const copies = await openPrivateCopies();
  onTestFinished(() => copies.close());
  const copy = () => copies.add(directory, AbortSignal.timeout(60_000));
  const link = async (to: string, name: string) => {
    await mkdir(join(directory, name, '..'), { recursive: true });
    await symlink(to, join(directory, name));
  };
  return { place, directory, copy, link };
}

const paths = async (directory: string) => (await versionFiles(directory)).map(({ path }) => path);

describe('a link that leads out of the folder of its version', () => {
  const LINKS: { name: string; to: (place: string) => string; path?: string }[] = [
    { name: 'w.bin', to: (place) => join(place, 'elsewhere', 'w.bin') },
    { name: 'w.bin', to: () => '../../../elsewhere/w.bin' },
    { name: 'w.bin', to: () => '/proc/self/environ' },
    { name: 'sub/deep/w.bin', to: () => '../../../../../elsewhere/w.bin' },
    { name: 'folder', to: () => '../../../elsewhere' },
    { name: 'parent', to: () => '..' },
    { name: '.hidden', to: () => '../../../elsewhere/w.bin' },
  ];

  test.for(LINKS)('$name is refused with the command that copies it', async ({ name, to }) => {
    const { place, directory, copy, link } = await version();
    await link(to(place), name);
    const fault = await copy().catch((error: Error) => error.message);
    expect(fault).toContain(`${name} is a link that leads out of the version's folder`);
    const [, command = ''] = /itself: (.*)$/.exec(String(fault)) ?? [];
    if (name === 'parent' || to(place).startsWith('/proc')) return;
    execFileSync('sh', ['-c', command], { cwd: directory });
    const served = await copy();
    expect(await readFile(join(served, name === 'folder' ? 'folder/w.bin' : name), 'utf8')).toBe('secret');
  });

  test('is refused as model.onnx too, as a cache with its files elsewhere has it', async () => {
    const { place, directory, copy, link } = await version();
    await rename(join(directory, 'model.onnx'), join(place, 'blob'));
    await link('../../../blob', 'model.onnx');
    await expect(copy()).rejects.toThrow('cp -L');
    await expect(copyOwn(directory, 'model.onnx', join(place, 'copy'))).rejects.toThrow('cp -L');
  });

  test('is named where a file lies behind it', async () => {
    const { place, directory, link } = await version();
    await link('../../../elsewhere', 'folder');
    const copied = copyOwn(directory, 'folder/w.bin', join(place, 'copy'));
    await expect(copied).rejects.toThrow(/^folder is a link .* cp -rL/);
  });

  test('to a folder that is named alike but longer is one', async () => {
    const { directory, copy, link } = await version();
    await mkdir(`${directory}0`);
    await writeFile(join(`${directory}0`, 'w.bin'), 'of version 10');
    await link('../10/w.bin', 'w.bin');
    await expect(copy()).rejects.toThrow('w.bin is a link');
  });
});

test('links within the folder are followed, as a ConfigMap has them, and those that lead nowhere or round are passed over', async () => {
  const { directory, copy, link } = await version();
  await mkdir(join(directory, '..2026_01'));
  await rename(join(directory, 'model.onnx'), join(directory, '..2026_01', 'model.onnx'));
  await link('..2026_01', '..data');
  await link('..data/model.onnx', 'model.onnx');
  await link('nowhere', 'dangling');
  await link('/nowhere/at/all', 'dangling-outside');
  await link('round', 'round');
  await link('.', 'self');
  expect(await paths(directory)).toEqual(['model.onnx']);
  expect(await readFile(join(await copy(), 'model.onnx'), 'utf8')).toBe('model');
});

test('the folders of model and version may be links themselves', async () => {
  const { place, directory } = await version();
  await symlink(join(place, 'models', 'm'), join(place, 'linked'));
  await symlink('w.bin', join(directory, 'inside.bin'));
  await writeFile(join(directory, 'w.bin'), 'w');
  expect(await paths(join(place, 'linked', '1'))).toEqual(['inside.bin', 'model.onnx', 'w.bin']);
  await copyOwn(join(place, 'linked', '1'), 'inside.bin', join(place, 'copy'));
  expect(await readFile(join(place, 'copy'), 'utf8')).toBe('w');
  expect(await realpath(join(place, 'linked', '1'))).toBe(await realpath(directory));
});

test('pipes and devices are passed over, and refused where they are asked for', async () => {
  const { place, directory } = await version();
  execFileSync('mkfifo', [join(directory, 'pipe')]);
  expect(await paths(directory)).toEqual(['model.onnx']);
  await expect(copyOwn(directory, 'pipe', join(place, 'copy'))).rejects.toThrow('expected a file, got a pipe');
});
