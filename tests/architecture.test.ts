import { globSync, readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { describe, expect, test } from 'vitest';
import {
  banned,
  brokenDirections,
  brokenDoors,
  connectionsOfInference,
  cycles,
  hiddenImports,
  importsOf,
  LINES_MAX,
  processesOfUnits,
  tooLong,
  withoutFloor,
} from './support/architecture.ts';

const read = (...patterns: string[]) =>
  new Map(globSync(patterns).map((file) => [file.replaceAll('\\', '/'), readFileSync(file, 'utf8')] as const));
const product = read('src/**/*.ts', 'workers/**/*.ts', 'bin/**/*.ts');
const everything = new Map([...product, ...read('tests/**/*.ts', 'examples/**/*.ts')]);

describe('the tree', () => {
  test('is read: every file and its imports', () => {
    expect(product.size).toBeGreaterThan(40);
    expect(importsOf(product).filter(({ to }) => product.has(to)).length).toBeGreaterThan(100);
  });

  test('has one door for each library', () => expect(brokenDoors(product)).toEqual([]));
  test('imports one way, and never from one wing into the other', () => expect(brokenDirections(product)).toEqual([]));
  test('has a floor for every file', () => expect(withoutFloor(product)).toEqual([]));
  test('has no cycle, of types and import() neither', () => expect(cycles(everything)).toEqual([]));
  test('hides no import from these rules', () => expect(hiddenImports(product)).toEqual([]));
  test('keeps inference processes away from connections', () => expect(connectionsOfInference(product)).toEqual([]));
  test('starts no process in tests/unit', () => expect(processesOfUnits(everything)).toEqual([]));
  test(`has no file over ${LINES_MAX} lines`, () => expect(tooLong(everything)).toEqual([]));
  test('keeps to the house style', () => expect(banned(product)).toEqual([]));

  test('names files for what they are about', () => {
    const vague = [...everything.keys()].filter((file) =>
      /^(utils?|helpers?|common|misc|index)\./.test(basename(file)),
    );
    expect(vague).toEqual([]);
    expect(
      [...everything.keys()].filter(
        (file) => !/^[a-z0-9-]+(\.long)?(\.test|\.case|\.config)?\.ts$/.test(basename(file)),
      ),
    ).toEqual([]);
  });
});

describe('each rule can fail', () => {
  const tree = (files: Record<string, string>) => new Map(Object.entries(files));

  test('a library named outside its door', () => {
    const naming = (file: string, text: string) => brokenDoors(tree({ [file]: text }));
    expect(naming('src/api/open.ts', "import { Redis } from 'ioredis';")).toEqual(['src/api/open.ts names ioredis']);
    expect(naming('workers/worker.ts', "import {\n  Tensor,\n} from 'onnxruntime-node';")).toHaveLength(1);
    expect(naming('src/media/image.ts', "const { default: sharp } = await import('sharp');")).toHaveLength(1);
    expect(naming('bin/a.ts', "type Redis = import('ioredis').Redis;")).toHaveLength(1);
  });

  test('an import that points up, or to the room next door', () => {
    const upward = tree({ 'src/task/task.ts': "import type { Api } from '../store/a.ts';", 'src/store/a.ts': '' });
    expect(brokenDirections(upward)).toEqual(['src/task/task.ts imports src/store/a.ts']);
    const sideways = tree({ 'src/store/a.ts': "import '../registry/b.ts';", 'src/registry/b.ts': '' });
    expect(brokenDirections(sideways)).toEqual(['src/store/a.ts imports src/registry/b.ts']);
    const dynamic = tree({ 'src/task/a.ts': "await import('../store/b.ts');", 'src/store/b.ts': '' });
    expect(brokenDirections(dynamic)).toHaveLength(1);
    const apart = tree({ 'src/store/a.ts': "import '../models/b.ts';", 'src/models/b.ts': '' });
    expect(brokenDirections(apart)).toHaveLength(1);
  });

  test('an import from one wing into the other, or from what both share into a wing', () => {
    const wings = tree({
      'workers/a.ts': "import '../src/api/open.ts';",
      'src/api/open.ts': "import '../../workers/inference/b.ts';",
      'workers/inference/b.ts': '',
      'src/services.ts': "import './api/open.ts';",
      'bin/serve.ts': "import '../src/api/open.ts';\nimport '../workers/a.ts';",
    });
    expect(brokenDirections(wings)).toEqual([
      'workers/a.ts imports src/api/open.ts',
      'src/api/open.ts imports workers/inference/b.ts',
      'src/services.ts imports src/api/open.ts',
    ]);
  });

  test('a cycle, also through types and import()', () => {
    const knot = { 'src/a.ts': "import './b.ts';", 'src/b.ts': "export type { A } from './a.ts';" };
    expect(cycles(tree(knot))).toEqual(['src/a.ts → src/b.ts → src/a.ts']);
    const lazy = {
      'bin/a.ts': "const { b } = await import('./b.ts');",
      'bin/b.ts': "import type { A } from './a.ts';",
    };
    expect(cycles(tree(lazy))).toEqual(['bin/a.ts → bin/b.ts → bin/a.ts']);
  });

  test('an import() that cannot be followed', () => {
    expect(hiddenImports(tree({ 'src/a.ts': 'await import(name);', 'src/b.ts': "await import('./a.ts');" }))).toEqual([
      'src/a.ts',
    ]);
  });

  test('a connection that an inference process could open, by a file that it loads', () => {
    const process = 'workers/inference/inference-process.ts';
    const through = tree({ [process]: "import '../../src/log.ts';", 'src/log.ts': "import net from 'node:net';" });
    expect(connectionsOfInference(through)).toEqual(['src/log.ts names node:net']);
    const types = tree({
      [process]: "import type { Log } from '../../src/log.ts';",
      'src/log.ts': "import 'node:net';",
    });
    expect(connectionsOfInference(types)).toEqual([]);
  });

  test('a unit test that could start a process, by itself or by what it loads', () => {
    const units = tree({
      'tests/unit/a.test.ts': "import '../support/pool.ts';",
      'tests/unit/b.test.ts': "import type { Pool } from '../support/pool.ts';",
      'tests/worker/c.test.ts': "import '../support/pool.ts';",
      'tests/support/pool.ts': "import { fork } from 'node:child_process';",
    });
    expect(processesOfUnits(units)).toEqual([
      'tests/unit/a.test.ts loads tests/support/pool.ts, which names node:child_process',
    ]);
  });

  test('a file without a floor, one that is too long, and one with a banned word', () => {
    expect(withoutFloor(tree({ 'src/utils.ts': '' }))).toEqual(['src/utils.ts']);
    expect(tooLong(tree({ 'src/a.ts': '\n'.repeat(LINES_MAX + 1) }))).toEqual(['src/a.ts']);
    expect(banned(tree({ 'src/a.ts': 'const job = process.env;' }))).toHaveLength(2);
  });
});
