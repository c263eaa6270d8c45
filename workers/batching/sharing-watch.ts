import type { Tensor } from '../../src/tensor/tensor.ts';
import type { RunAlone } from '../inference/inference-messages.ts';
import { isRounding, rowDifferences } from '../inference/row-difference.ts';
import { RunError } from '../inference/run-error.ts';
import { mayPass } from '../repository/model-fault.ts';

/** Of so many shared runs of a version, one task each is run again alone. */
export const CHECKS_FIRST = 10;
/** What later checks may take, as a share of what shared runs take. */
export const CHECKS_SHARE = 0.01;
/** In how many of the compared rows integers and strings may differ, as a share: an ArgMax may meet a tie. */
const TIES_SHARE = 0.01;
/** A task of a shared run, and what it got there and alone. */
export interface CheckedRun {
  /** Of the whole run. */
  outputs: readonly Tensor[];
  runMs: number;
  /** Of the task, in that run. */
  beside: readonly Tensor[];
  alone: RunAlone;
}

/** What a check says of its run: its tasks keep what they got, or run alone; and from now on all tasks of the model do. */
export type Verdict = { to: 'keep' } | { to: 'run alone' | 'end sharing'; reason: string };

/** What was found out so far. */
interface Watched {
  checks: number;
  /** Since the first checks. */
  sharedMs: number;
  checkedMs: number;
  latestCheckMs: number;
  rows: number;
  ties: number;
}

/** Chooses which shared runs of a model are checked, and judges them. Knows nothing of versions that came before. */
export class SharingWatch<M extends object> {
  readonly #random: () => number;
  readonly #watched = new WeakMap<M, Watched>();

  constructor(random: () => number = Math.random) {
    this.#random = random;
  }

  /** Which task of a shared run is to be run again alone; `undefined`: none. */
  choose(model: M, tasks: number): number | undefined {
    const { checks, sharedMs, checkedMs, latestCheckMs } = this.#of(model);
    const isDue = checks < CHECKS_FIRST || checkedMs + latestCheckMs <= CHECKS_SHARE * sharedMs;
    return isDue ? Math.floor(this.#random() * tasks) : undefined;
  }

  /** Notes a shared run that was not checked. */
  ran(model: M, runMs: number): void {
    const watched = this.#of(model);
    if (watched.checks >= CHECKS_FIRST) watched.sharedMs += runMs;
  }

  judge(model: M, run: CheckedRun): Verdict {
    const watched = this.#of(model);
    const startedAt = performance.now();
    const verdict = verdictOn(watched, run);
    const checkMs = ('runMs' in run.alone ? run.alone.runMs : run.runMs) + performance.now() - startedAt;
    this.ran(model, run.runMs);
    if (watched.checks >= CHECKS_FIRST) watched.checkedMs += checkMs;
    watched.latestCheckMs = checkMs;
    watched.checks += 1;
    return verdict;
  }

  #of(model: M): Watched {
    let watched = this.#watched.get(model);
    if (!watched) {
      watched = { checks: 0, sharedMs: 0, checkedMs: 0, latestCheckMs: 0, rows: 0, ties: 0 };
      this.#watched.set(model, watched);
    }
    return watched;
  }
}

/** Adds what was compared to what is known of the model. */
function verdictOn(known: Pick<Watched, 'rows' | 'ties'>, { outputs, beside, alone }: CheckedRun): Verdict {
  if ('fault' in alone) {
    // The fault may tell of somebody's input; the task's own error will.
    const reason = 'a row that succeeds beside other rows fails alone';
    return { to: mayPass(new RunError('MODEL_ERROR', alone.fault)) ? 'run alone' : 'end sharing', reason };
  }
  const differences = rowDifferences(alone.outputs, beside).filter((difference) => !isRounding(difference, outputs));
  known.rows += Math.max(1, ...alone.outputs.map(({ shape }) => shape[0] ?? 1));
  known.ties += new Set(differences.map(({ row }) => row)).size;
  const [first] = differences;
  if (!first) return { to: 'keep' };
  const clear = differences.find(({ kind }) => kind !== 'exact');
  if (clear) return { to: 'end sharing', reason: clear.text };
  if (known.ties <= TIES_SHARE * known.rows) return { to: 'run alone', reason: first.text };
  return { to: 'end sharing', reason: `${first.text}, in ${known.ties} of ${known.rows} compared rows` };
}
