import { existsSync, globSync, readFileSync } from 'node:fs';
import { buildSchema, parse, validate } from 'graphql';
import { describe, expect, test } from 'vitest';
import { readGiven } from '../bin/command.ts';
import { modelsAddCommand } from '../bin/models-add.ts';
import { modelsCheckCommand } from '../bin/models-check.ts';
import { modelsInspectCommand } from '../bin/models-inspect.ts';
import { PROCESS_COMMANDS } from '../bin/process.ts';
import { submitCommand } from '../bin/submit.ts';
import { watchCommand } from '../bin/watch.ts';
import { generatedPages } from '../docs/pages.ts';
import { imageOptions } from '../src/media/image-options.ts';
import { manifestSchema } from '../src/models/manifest.ts';
import { describeSettings } from '../src/process/settings.ts';
import { brokenLinks, commandsIn, fencesOf, operationsIn, readDocuments, wideLines } from './support/documents.ts';

const documents = readDocuments();
const textOf = (path: string) => documents.get(path) ?? '';
const LINES_MAX = 150;
const WIDTH_MAX = 100;

const commands = [
  ...PROCESS_COMMANDS,
  modelsAddCommand,
  modelsCheckCommand,
  modelsInspectCommand,
  submitCommand,
  watchCommand,
];
const { scripts } = JSON.parse(readFileSync('package.json', 'utf8')) as { scripts: Record<string, string> };
const NPM_OWN = ['ci', 'install', 'pack', 'start', 'test'];

/** What is wrong with a command; `undefined` where it can be run, and for programs that are not ours. */
function commandFault(words: readonly string[]): string | undefined {
  const [program = '', first = '', ...rest] = words;
  const line = words.join(' ');
  if (program === 'npm') {
    const [script = ''] = rest.filter((word) => !word.startsWith('-'));
    if (first !== 'run') return NPM_OWN.includes(first) ? undefined : `${line}: npm has no such command here`;
    if (!scripts[script]) return `${line}: no such script`;
    return script === 'foretell' && rest.includes('--')
      ? foretellFault(line, rest.slice(rest.indexOf('--') + 1))
      : undefined;
  }
  if (program === 'npx' || program === 'exec') return commandFault([first, ...rest]);
  if (/(^|\/)foretell$/.test(program)) return foretellFault(line, [first, ...rest]);
  if (/(^|\/)(node|sh|python3)$/.test(program)) {
    if (first === 'bin/foretell.ts') return foretellFault(line, rest);
    return /\.(ts|sh|py)$/.test(first) && !existsSync(first) ? `${line}: no such file` : undefined;
  }
  return undefined;
}

function foretellFault(line: string, words: string[]): string | undefined {
  if (words[0] === 'COMMAND' || words[0]?.startsWith('--')) return undefined;
  const command = commands.find(({ name }) => name.split(' ').every((word, i) => words[i] === word));
  if (!command) return `${line}: no such command`;
  try {
    readGiven(command, words.slice(command.name.split(' ').length));
    return undefined;
  } catch (error) {
    return `${line}: ${String(error)}`;
  }
}

const shellFaults = (text: string) => commandsIn(text).flatMap((words) => commandFault(words) ?? []);

test('links lead to files and headings that exist', () => {
  expect(documents.size).toBeGreaterThan(20);
  expect(brokenLinks(documents, existsSync)).toEqual([]);
});

test.each(['README.md', 'ARCHITECTURE.md'])(`%s has at most ${LINES_MAX} lines`, (file) => {
  expect(textOf(file).split('\n').length).toBeLessThanOrEqual(LINES_MAX);
});

test(`prose wraps at ${WIDTH_MAX} columns`, () => {
  const ours = [...documents].filter(([file]) => /^(README|ARCHITECTURE|CHANGELOG|CONTRIBUTING|docs\/)/.test(file));
  expect(ours.flatMap(([file, text]) => wideLines(text, WIDTH_MAX).map((line) => `${file}: ${line}`))).toEqual([]);
});

test('commands in code blocks exist, with their options', () => {
  const blocks = [...documents.values()].flatMap(fencesOf).filter(({ kind }) => kind === 'sh');
  expect(blocks.length).toBeGreaterThan(10);
  expect(blocks.flatMap(({ text }) => shellFaults(text))).toEqual([]);
});

test('commands within sentences exist', () => {
  const prose = [...documents.values()].flatMap((text) => [...text.matchAll(/`((?:npm|npx|foretell) [^`\n]+)`/g)]);
  expect(prose.length).toBeGreaterThan(20);
  // A sentence may name a command without its operand.
  const faults = prose.flatMap(([, command = '']) => shellFaults(command));
  expect(faults.filter((fault) => !/: expected [A-Z]+$/.test(fault))).toEqual([]);
});

test('operations are valid for the bundled models', () => {
  const schema = buildSchema(readFileSync('schema.graphql', 'utf8'));
  const ours = [...documents].filter(([file]) => !file.startsWith('examples/'));
  const operations = ours.flatMap(([, text]) => operationsIn(text));
  expect(operations.length).toBeGreaterThan(8);
  for (const operation of operations) expect(validate(schema, parse(operation)), operation).toEqual([]);
});

test('generated documents are what `npm run docs` writes', async () => {
  for (const [path, text] of Object.entries(await generatedPages())) {
    expect(readFileSync(path, 'utf8'), `${path}: run \`npm run docs\``).toBe(text);
  }
});

test('every setting, every key of model.json and of a picture is documented', () => {
  for (const { name } of describeSettings()) expect(textOf('docs/settings.md')).toContain(`| \`${name}\` |`);
  for (const key of Object.keys(manifestSchema.shape)) {
    expect(textOf('docs/models.md')).toMatch(new RegExp(`^\\| .*\`[^\`]*\\b${key}\\b`, 'm'));
  }
  for (const key of Object.keys(imageOptions.shape)) {
    expect(textOf('docs/pictures.md')).toMatch(new RegExp(`^\\| .*\`${key}\``, 'm'));
  }
});

test('metrics that exist are documented, and no others', () => {
  const namesIn = (text: string, pattern: RegExp) => [...text.matchAll(pattern)].map(([, name]) => name);
  const sources = globSync('src/telemetry/*.ts').map((file) => readFileSync(file, 'utf8'));
  const existing = new Set(sources.flatMap((text) => namesIn(text, /'(foretell_\w+)'/g)));
  const documented = [...documents.values()].flatMap((text) => namesIn(text, /`(foretell_\w+)`/g));
  expect(new Set(documented)).toEqual(existing);
});

test('paths that are documented exist, and every room is in ARCHITECTURE.md', () => {
  const paths = [...documents].flatMap(([file, text]) =>
    [...text.matchAll(/`((?:src|workers|bin|tests|bench|docs|examples|models)\/[\w./-]*)`/g)].map(([, path = '']) => [
      file,
      path,
    ]),
  );
  expect(paths.length).toBeGreaterThan(15);
  const isPlaceholder = (path: string) => /\/[A-Z]+\//.test(path);
  expect(paths.filter(([, path = '']) => !existsSync(path) && !isPlaceholder(path))).toEqual([]);
  const [rooms] = fencesOf(textOf('ARCHITECTURE.md')).filter(({ text }) => text.includes('workers/'));
  const names = new Set(rooms?.text.match(/[a-z]+/g));
  const existing = globSync(['src/*/', 'src/api/*/', 'workers/*/', 'tests/*/'], { withFileTypes: true });
  const directories = existing.filter((entry) => entry.isDirectory()).map(({ name }) => name);
  expect(directories.length).toBeGreaterThan(20);
  expect(directories.filter((name) => !names.has(name))).toEqual([]);
});

describe('each check can fail', () => {
  const one = (text: string) => new Map([['docs/a.md', text]]);

  test('a link to no file, to no heading, and one that only an example shows', () => {
    expect(brokenLinks(one('[x](b.md) [y](#there) [z](https://x.example)\n# There'), () => false)).toEqual([
      'docs/a.md: b.md: no such file',
    ]);
    expect(brokenLinks(one('[x](#here)\n\n```\n# Here\n[y](no.md)\n```\n'), () => false)).toEqual([
      'docs/a.md: #here: no such heading',
    ]);
  });

  test('a script, a command, an option and a file that do not exist', () => {
    expect(shellFaults('npm ci && npm run nothing')).toEqual(['npm run nothing: no such script']);
    expect(shellFaults('A=1 npx foretell models remove x # a comment')).toHaveLength(1);
    expect(shellFaults('npm run -s foretell -- submit --now \'{ "a": 1 }\'')).toHaveLength(1);
    expect(shellFaults('npx foretell submit --wait \\\n  \'{\n "a": 1 }\'; node bin/foretell.ts api --port 1')).toEqual(
      [],
    );
    expect(shellFaults('npx node examples/nothing.ts URL')).toHaveLength(1);
  });

  test('an operation in any language', () => {
    expect(operationsIn("```js\nask('query { a }', `mutation {\n b }`)\n```\n")).toEqual([
      'query { a }',
      'mutation {\n b }',
    ]);
    expect(operationsIn('```sh\ncurl -d \'{ "query": "{ a(b: \\"c\\") }" }\'\n```\n')).toEqual(['{ a(b: "c") }']);
  });

  test('a line that is too wide', () => {
    expect(wideLines('a b c\n| a | b | c |\n```\na b c d e\n```\n', 4)).toEqual(['a b c']);
  });
});
