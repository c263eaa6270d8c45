import { readFileSync } from 'node:fs';

/** An operation that a README shows, with what it says that the answer is. */
export interface ReadmeQuery {
  /** The heading that it stands under. */
  heading: string;
  query: string;
  variables: Record<string, unknown>;
  answer: unknown;
}

/** Every `graphql` block of a file, with the `json variables` and the `json` that follow it. */
export function readmeQueries(file: string): ReadmeQuery[] {
  const blocks = readFileSync(file, 'utf8').matchAll(/^## ([^\n]+)$|^```([a-z ]+)\n(.*?)^```$/gms);
  const queries: ReadmeQuery[] = [];
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
