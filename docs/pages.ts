import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Figure } from '../bench/measure.ts';
import { chart, table } from '../bench/report.ts';
import { describeSettings, SECRET_SETTINGS } from '../src/process/settings.ts';

/** The documents that are generated, by their paths. `npm run docs` writes them; a test compares. */
export async function generatedPages(): Promise<Record<string, string>> {
  const figures: Figure[] = JSON.parse(await readFile(here('..', 'bench', 'baseline.json'), 'utf8'));
  return {
    'docs/settings.md': settingsPage(),
    'docs/benchmarks.md': benchmarksPage(figures),
    'docs/bench.svg': chart(figures),
  };
}

/** Writes each page where it belongs, from whatever directory this runs in. */
export async function writePages(): Promise<void> {
  for (const [path, text] of Object.entries(await generatedPages())) await writeFile(here('..', path), text);
}

const here = (...path: string[]) => join(import.meta.dirname, ...path);

function settingsPage(): string {
  const rows = describeSettings().map(({ name, default: fallback, description }) => {
    const option = SECRET_SETTINGS.has(name) ? '' : `\`--${name.toLowerCase().replaceAll('_', '-')}\``;
    return `| \`${name}\` | ${option} | ${fallback && `\`${fallback}\``} | ${description} |`;
  });
  return `# Settings

Settings are environment variables. \`foretell serve\`, \`foretell api\` and \`foretell worker\` take
them as options too, except those that may hold a password or key: other users of the machine can
see a command line. An invalid setting stops the start with one line for each error.

This page is generated from the table that \`foretell serve --help\` prints.

| setting | option | default | meaning |
| --- | --- | --- | --- |
${rows.join('\n')}
`;
}

function benchmarksPage(figures: readonly Figure[]): string {
  return `# Benchmarks

\`npm run bench\` measures Foretell beside **the floor**: the same work with bare amqplib, ioredis and
onnxruntime-node, in two processes without checks, types, owners, attempts or deadlines. Both run on
the same machine in turn, with the load generator beside them, so read the ratios.

This page is generated from \`bench/baseline.json\`, a run on two cores of a shared machine.

![Foretell beside the floor](bench.svg)

${table(figures)}

[decisions/speed.md](decisions/speed.md) says what helped and what did not.
`;
}
