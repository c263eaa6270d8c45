import { writeFileSync } from 'node:fs';
import type { Reporter, TestCase } from 'vitest/node';
import type { AttackReport } from './stage.ts';

const HEADINGS = [
  'attack',
  "B's worst wait",
  'before it',
  "B's tasks",
  'refused',
  'failed',
  'API',
  'worker',
  'inference',
  '',
];

/** Prints each attack as it ends, and all of them in a table at the end, which is written to `file` as well. */
export class AttackReporter implements Reporter {
  readonly #file: string;
  readonly #rows: string[][] = [];

  constructor(file: string) {
    this.#file = file;
  }

  onTestCaseResult(test: TestCase): void {
    const report = test.meta().attack;
    if (test.result().state === 'skipped') return;
    const row = report ? cells(report) : [test.name, ...Array<string>(HEADINGS.length - 2).fill('?')];
    row[HEADINGS.length - 1] = test.result().state === 'passed' ? '' : 'FAILED';
    this.#rows.push(row);
    process.stdout.write(`${row.join(' | ')}\n`);
  }

  onTestRunEnd(): void {
    if (this.#rows.length === 0) return;
    const lines = [HEADINGS, HEADINGS.map((_, i) => (i === 0 ? '---' : '---:')), ...this.#rows];
    const table = lines.map((row) => `| ${row.join(' | ')} |`).join('\n');
    process.stdout.write(`\n${table}\n`);
    writeFileSync(this.#file, `${table}\n`);
  }
}

function cells({ title, worstMs, ordinaryMs, tasks, refused, failed, peakMib }: AttackReport): string[] {
  const mib = (name: string) => (peakMib[name] === undefined ? '' : `${peakMib[name]} MiB`);
  const numbers = [`${worstMs} ms`, `${ordinaryMs} ms`, tasks, refused, failed].map(String);
  return [title, ...numbers, mib('api'), mib('worker'), mib('inference'), ''];
}
