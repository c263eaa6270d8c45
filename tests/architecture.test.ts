import { globSync, readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { describe, expect, test } from 'vitest';
import {
  banned,
  brokenDirections,
  brokenDoors,
  cycles,
  importsOf,
  LINES_MAX,
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
  test('imports one way', () => expect(brokenDirections(product)).toEqual([]));
  test('has a floor for every file', () => expect(withoutFloor(product)).toEqual([]));
  test('has no cycle', () => expect(cycles(everything)).toEqual([]));
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
    expect(brokenDoors(tree({ 'src/api.ts': "import { Redis } from 'ioredis';" }))).toEqual([
      'src/api.ts names ioredis',
    ]);
    expect(brokenDoors(tree({ 'workers/worker.ts': "import {\n  Tensor,\n} from 'onnxruntime-node';" }))).toHaveLength(
      1,
    );
  });

  test('an import that points up, or to the room next door', () => {
    const upward = tree({ 'src/task.ts': "import type { Api } from './api.ts';", 'src/api.ts': '' });
    expect(brokenDirections(upward)).toEqual(['src/task.ts imports src/api.ts']);
    const sideways = tree({ 'src/store/redis.ts': "import '../broker/amqp.ts';", 'src/broker/amqp.ts': '' });
    expect(brokenDirections(sideways)).toEqual(['src/store/redis.ts imports src/broker/amqp.ts']);
  });

  test('a cycle, also through types', () => {
    const knot = { 'src/a.ts': "import './b.ts';", 'src/b.ts': "export type { A } from './a.ts';" };
    expect(cycles(tree(knot))).toEqual(['src/a.ts → src/b.ts → src/a.ts']);
  });

  test('a file without a floor, one that is too long, and one with a banned word', () => {
    expect(withoutFloor(tree({ 'src/utils.ts': '' }))).toEqual(['src/utils.ts']);
    expect(tooLong(tree({ 'src/a.ts': '\n'.repeat(LINES_MAX + 1) }))).toEqual(['src/a.ts']);
    expect(banned(tree({ 'src/a.ts': 'const job = process.env;' }))).toHaveLength(2);
  });
});
