import { globSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';

/** Every document for people, by its path from the root. */
export function readDocuments(): Map<string, string> {
  const files = globSync(['*.md', 'docs/**/*.md', 'models/*.md', 'examples/**/*.md']);
  return new Map(files.map((file) => [file.replaceAll('\\', '/'), readFileSync(file, 'utf8')] as const));
}

export interface Fence {
  kind: string;
  text: string;
}

export function fencesOf(document: string): Fence[] {
  return [...document.matchAll(FENCE)].map(([, kind = '', text = '']) => ({ kind, text }));
}

const FENCE = /^```([a-z ]*)\n(.*?)^```$/gms;

/** Links that lead to no file, or to no heading of theirs. `exists` knows of files that are no documents. */
export function brokenLinks(documents: ReadonlyMap<string, string>, exists: (path: string) => boolean): string[] {
  return [...documents].flatMap(([file, text]) =>
    [...text.replace(FENCE, '').matchAll(/\]\(([^)\s]+)\)/g)].flatMap(([, target = '']) => {
      if (/^[a-z]+:/.test(target)) return [];
      const [path = '', anchor] = target.split('#', 2);
      const to = path === '' ? file : normalize(join(dirname(file), path)).replaceAll('\\', '/');
      if (!documents.has(to) && !exists(to)) return [`${file}: ${target}: no such file`];
      const isThere = anchor === undefined || anchorsOf(documents.get(to) ?? '').has(anchor);
      return isThere ? [] : [`${file}: ${target}: no such heading`];
    }),
  );
}

/** As GitHub makes them of headings. */
function anchorsOf(document: string): Set<string> {
  const headings = [...document.replace(FENCE, '').matchAll(/^#+ (.+)$/gm)].map(([, heading = '']) => heading);
  return new Set(
    headings.map((heading) =>
      heading
        .toLowerCase()
        .replace(/[^\w\- ]/g, '')
        .replaceAll(' ', '-'),
    ),
  );
}

/** Lines of prose that are too wide. Tables, links and headings cannot wrap, and code is its own. */
export function wideLines(document: string, most: number): string[] {
  const prose = document.replace(FENCE, '').split('\n');
  return prose.filter((line) => [...line].length > most && !/^(\||#|!\[)/.test(line) && /\S\s+\S/.test(line.trim()));
}

/** The words of each command in a shell's text, as the shell would take them apart; without what is set before a command. */
export function commandsIn(shell: string): string[][] {
  const lines = shell.replace(/\\\n/g, ' ').match(/(?:'[^']*'|"(?:[^"\\]|\\.)*"|[^\n])+/g) ?? [];
  return lines
    .flatMap((line) => split(line))
    .map((words) => words.filter((word, i) => i > 0 || !/^(export|exec)$/.test(word)))
    .map((words) => words.slice(words.findIndex((word) => !/^[A-Z_]+=/.test(word))))
    .filter(([first]) => first !== undefined && !/^[A-Z_]+=/.test(first));
}

/** One line's commands: `&&` and `;` are between two, a comment ends the last. */
function split(line: string): string[][] {
  const tokens = line.match(/#(?=\s).*|&&|;|(?:'[^']*'|"(?:[^"\\]|\\.)*"|[^\s;'"&])+/g) ?? [];
  const commands: string[][] = [[]];
  for (const token of tokens) {
    if (/^#/.test(token)) break;
    if (token === '&&' || token === ';') commands.push([]);
    else commands.at(-1)?.push(token.replace(/^(['"])(.*)\1$/s, '$2'));
  }
  return commands.filter((words) => words.length > 0);
}

/** Operations in a document: blocks of GraphQL, and texts in blocks of other languages. */
export function operationsIn(document: string): string[] {
  return fencesOf(document).flatMap(({ kind, text }) => {
    if (kind === 'graphql') return [text];
    if (kind === 'sh') return queriesIn(text);
    const texts = text.matchAll(/(['"`])((?:query|mutation|subscription)\b(?:(?!\1)[^\\]|\\.)*)\1/gs);
    return [...texts].map(([, , operation = '']) => operation);
  });
}

/** Of the JSON that a command sends, which has to be JSON as the shell hands it on. */
function queriesIn(shell: string): string[] {
  const texts = [...shell.matchAll(/'(\{[^']*"query"[^']*)'/g)].map(([, text = '']) => text);
  return texts.map((text) => (JSON.parse(text) as { query: string }).query);
}

/** An operation that a document shows, with what it says that the answer is. */
export interface ShownQuery {
  /** The heading that it stands under. */
  heading: string;
  query: string;
  variables: Record<string, unknown>;
  answer: unknown;
}

/** Every `graphql` block of a file, with the `json variables` and the `json` that follow it. */
export function documentQueries(file: string): ShownQuery[] {
  const blocks = readFileSync(file, 'utf8').matchAll(/^## ([^\n]+)$|^```([a-z ]+)\n(.*?)^```$/gms);
  const queries: ShownQuery[] = [];
  let heading = '';
  for (const [, title, kind, text = ''] of blocks) {
    const latest = queries.at(-1);
    if (title !== undefined) heading = title;
    else if (kind === 'graphql') queries.push({ heading, query: text, variables: {}, answer: undefined });
    else if (kind === 'json variables' && latest) latest.variables = JSON.parse(text);
    else if (kind === 'json' && latest) latest.answer = JSON.parse(text);
  }
  return queries;
}

/** Whether an answer is the one shown, where numbers have four digits after the point and `…` stands for any text. */
export function isShown(answer: unknown, shown: unknown): boolean {
  if (shown === '…') return typeof answer === 'string' && answer !== '';
  if (typeof shown === 'number') return typeof answer === 'number' && Math.abs(answer - shown) < 1e-4;
  if (typeof shown !== 'object' || shown === null) return answer === shown;
  if (typeof answer !== 'object' || answer === null || Array.isArray(answer) !== Array.isArray(shown)) return false;
  const [said, expected] = [new Map(Object.entries(answer)), Object.entries(shown)];
  return said.size === expected.length && expected.every(([key, value]) => isShown(said.get(key), value));
}
