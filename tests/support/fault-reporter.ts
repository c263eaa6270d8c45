import type { Reporter, TestCase } from 'vitest/node';
import type { FaultReport } from './fault-case.ts';

interface Line {
  report: FaultReport;
  passed: boolean;
  seconds: string;
}

/** Prints each case of the fault suite as it ends, and all of them in a table at the end. */
export class FaultReporter implements Reporter {
  readonly #lines: Line[] = [];

  onTestCaseResult(test: TestCase): void {
    const report = test.meta().fault;
    if (!report || test.result().state === 'skipped') return;
    const seconds = ((test.diagnostic()?.duration ?? 0) / 1_000).toFixed(1);
    const line = { report, passed: test.result().state === 'passed', seconds };
    this.#lines.push(line);
    process.stdout.write(`${sentence(line)}\n`);
  }

  onTestRunEnd(): void {
    if (this.#lines.length === 0) return;
    const rows = this.#lines.sort((a, b) => a.report.title.localeCompare(b.report.title)).map(cells);
    const table = [HEADINGS, ...rows];
    const widths = HEADINGS.map((_, column) => Math.max(...table.map((row) => row[column]?.length ?? 0)));
    const pad = (cell: string, column: number) =>
      column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0);
    process.stdout.write(`\n${table.map((row) => row.map(pad).join('  ')).join('\n')}\n`);
  }
}

const HEADINGS = [
  'case',
  'accepted',
  'lost',
  'duplicated',
  'unexpected',
  'wrong',
  'refused',
  'within',
  'took',
  'seed',
  '',
];

function cells({ report: { title, seed, counts, slowestRefusalMs }, passed, seconds }: Line): string[] {
  const { accepted, lost, duplicated, unexpected, wrong, refused } = counts ?? {};
  const numbers = [accepted, lost, duplicated, unexpected, wrong, refused].map((count) => String(count ?? '?'));
  return [title, ...numbers, within(slowestRefusalMs), `${seconds} s`, String(seed), passed ? '' : 'FAILED'];
}

function sentence({ report: { title, seed, counts, slowestRefusalMs }, passed, seconds }: Line): string {
  const words = counts
    ? `accepted ${counts.accepted} lost ${counts.lost} duplicated ${counts.duplicated} unexpected ${counts.unexpected} wrong ${counts.wrong}`
    : 'ended before it was checked;';
  const refused = counts?.refused ? ` refused ${counts.refused} within ${within(slowestRefusalMs)}` : '';
  return `case ${title}: ${words}${refused} seed ${seed} (${seconds} s)${passed ? '' : ' FAILED'}`;
}

function within(refusalMs = 0): string {
  return refusalMs === 0 ? '' : `${Math.ceil(refusalMs)} ms`;
}
