import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { writePages } from '../docs/pages.ts';
import { comparison } from './comparison.ts';
import type { Figure, Measure } from './measure.ts';
import { batching } from './measures/batching.ts';
import { drain } from './measures/drain.ts';
import { history } from './measures/history.ts';
import { latency } from './measures/latency.ts';
import { load } from './measures/load.ts';
import { mixed } from './measures/mixed.ts';
import { push } from './measures/push.ts';
import { start } from './measures/start.ts';
import { streams } from './measures/streams.ts';
import { bulk, singles } from './measures/throughput.ts';
import { table } from './report.ts';
import { openStage } from './stage.ts';

const MEASURES: readonly Measure[] = [
  singles,
  bulk,
  latency,
  push,
  drain,
  batching,
  mixed,
  streams,
  load,
  start,
  history,
];

const { values } = parseArgs({
  options: {
    only: { type: 'string' },
    rounds: { type: 'string', default: '3' },
    profile: { type: 'boolean', default: false },
    compare: { type: 'boolean', default: false },
    keep: { type: 'boolean', default: false },
  },
});

const say = (text: string) => process.stdout.write(`${text}\n`);
const here = (...path: string[]) => join(import.meta.dirname, ...path);
const BASELINE = here('baseline.json');

const names = values.only?.split(',') ?? MEASURES.map(({ name }) => name);
const unknown = names.filter((name) => !MEASURES.some((measure) => measure.name === name));
if (unknown.length > 0) {
  throw new Error(
    `--only: no such measure: ${unknown.join(', ')}; there are ${MEASURES.map(({ name }) => name).join(', ')}`,
  );
}
const profiles = values.profile ? here('profiles') : undefined;
if (profiles) await mkdir(profiles, { recursive: true });

const begun = performance.now();
const stage = await openStage({
  rounds: Number(values.rounds),
  profiles,
  progress: (text) => say(`${((performance.now() - begun) / 1_000).toFixed(0).padStart(4)} s  ${text}`),
});
const figures: Figure[] = [];
try {
  for (const measure of MEASURES) if (names.includes(measure.name)) figures.push(...(await measure.run(stage)));
} finally {
  await stage.close();
}

await mkdir(here('results'), { recursive: true });
await writeFile(here('results', 'latest.json'), `${JSON.stringify(figures, null, 2)}\n`);
say(`\n${table(figures)}`);
if (values.compare) say(comparison(figures, JSON.parse(await readFile(BASELINE, 'utf8'))));
if (values.keep) {
  await writeFile(BASELINE, `${JSON.stringify(figures, null, 2)}\n`);
  await writePages();
}
process.exit(0);
