import type { Sharing } from '../../src/models/sharing.ts';
import type { Tensor } from '../../src/tensor/tensor.ts';
import { madeUpRow, type RowSpec, rowBytes, rowsFrom } from './probe-rows.ts';
import { seeded } from './seeded.ts';
import { SharingExperiment } from './sharing-experiment.ts';
import type { RunRows, Verdict } from './sharing-verdict.ts';

/** What an experiment is made with. */
export interface SharingPlan {
  /** What the model takes, dimension 0 being one row; dimensions that may vary are `null`. */
  inputs: readonly RowSpec[];
  /** Rows that the manifest gives: its example first. They go before what is made up. */
  given: readonly { what: string; inputs: readonly Tensor[] }[];
  /** The most rows that a run of the model is to have. */
  rowsMax: number;
}

const SEED = 20_240_117;

/** What stands for dimensions that may vary, until the model takes two of them: some take short ones alone, some multiples of 32. */
const LENGTHS = [5, 3, 1, 32, 64, 224];

/** Rows that are larger are not made up: the example is asked for. */
const MADE_UP_BYTES_MAX = 8 * 1024 * 1024;

/** Milliseconds of the processor; what was not shown by then is unknown. */
const BUDGET_MS = 4_000;

/**
 * Finds out whether each row of a shared run gets the values that it gets alone. `run` rejects where the model refuses its inputs. The same
 * model gives the same finding, but for its speed.
 */
export async function proveSharing({ inputs, given, rowsMax }: SharingPlan, run: RunRows): Promise<Sharing> {
  const random = seeded(SEED);
  const experiment = new SharingExperiment({ run, rowsMax, budgetMs: BUDGET_MS, random });
  const verdicts: Verdict[] = [];
  for (const { what, inputs: row } of given) {
    const verdict = await experiment.judge(what, rowsFrom(what, row, { random, isMadeUp: false }));
    if (verdict.is === 'dependent') return dependent(verdict);
    verdicts.push(verdict);
  }
  if (verdicts.some(isProven)) return { finding: 'independent' };
  for (const { what, row } of madeUpRows(inputs, random)) {
    const verdict = await experiment.judge(what, rowsFrom(what, row, { random, isMadeUp: true }));
    if (verdict.is === 'dependent') return dependent(verdict);
    verdicts.push(verdict);
    const proven = verdicts.filter(isProven).length;
    if (proven > 1 || (proven > 0 && experiment.isOver())) break;
  }
  return verdicts.some(isProven) ? { finding: 'independent' } : unknown(verdicts);
}

/** A row of random values, of each length where the length may vary. */
function* madeUpRows(inputs: readonly RowSpec[], random: () => number) {
  const varies = inputs.some(({ shape }) => shape.slice(1).includes(null));
  for (const length of varies ? LENGTHS : LENGTHS.slice(0, 1)) {
    if (rowBytes(inputs, length) > MADE_UP_BYTES_MAX) continue;
    const what = varies ? `random values, ${length} long where the length may vary` : 'random values';
    yield { what, row: madeUpRow(inputs, length, random) };
  }
}

function isProven({ is }: Verdict): boolean {
  return is === 'proven';
}

function dependent({ why }: Verdict): Sharing {
  return { finding: 'dependent', reason: `${why.charAt(0).toUpperCase()}${why.slice(1)}.` };
}

const SETTLES = 'would settle whether its tasks may share a run';

/** What would tell, of the probes that came nearest to it. */
function unknown(verdicts: readonly Verdict[]): Sharing {
  const found = (['tie', 'random', 'slow', 'large', 'constant', 'refused'] as const).find((is) =>
    verdicts.some((verdict) => verdict.is === is),
  );
  const { why } = verdicts.find(({ is }) => is === found) ?? { why: 'its inputs are too large to generate' };
  const settling =
    found === 'tie' || found === 'random' || found === 'slow' || found === 'large'
      ? '"batched": true in model.json would share runs without a proof'
      : found === 'constant'
        ? `an "example" in model.json with another output ${SETTLES}`
        : `an "example" in model.json that the model accepts ${SETTLES}`;
  return { finding: 'unknown', reason: `Not proven: ${why}; ${settling}.` };
}
