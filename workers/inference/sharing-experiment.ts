import type { Tensor } from '../../src/tensor.ts';
import { byteLength } from '../../src/tensor.ts';
import type { ProbeRow } from './probe-rows.ts';
import { rowDifferences } from './row-difference.ts';
import { joinInputs, sliceRows } from './tensor-rows.ts';

export type RunRows = (inputs: readonly Tensor[]) => Promise<{ outputs: Tensor[] }>;

/** What one set of rows has shown, and why, as a clause for people. */
export interface Verdict {
  is: 'proven' | 'dependent' | 'refused' | 'constant' | 'random' | 'tie' | 'slow' | 'large';
  why: string;
}

/** A run that takes less than this gets a proof in `QUICK_PROOF_MS`. */
const QUICK_MS = 1;
const QUICK_PROOF_MS = 14;
/** A slower one gets as many times its own time: for every probe there is, beside large batches. */
const SLOW_RUNS = 60;

/** Of the rows of a set, how many are tried whatever they cost. */
const ESSENTIAL_ROWS = 6;

/** Batches beyond those that are tried whatever they cost, in the order of their worth. */
const SIZES = [9, 4, 17, 8, 33, 6, 64, 16, 7, 32, 12, 5, 3];

/** The most bytes of inputs, and of outputs, that are joined: what the batcher joins. */
const JOINED_BYTES_MAX = 64 * 1024 * 1024;

/** What ONNX Runtime says where memory is short: nothing of the rows. */
const SHORTAGE = /bad_alloc|allocat|out of memory/i;

interface Alone extends ProbeRow {
  outputs: readonly Tensor[];
  index: number;
}

export interface ExperimentOptions {
  run: RunRows;
  rowsMax: number;
  budgetMs: number;
  random: () => number;
}

/** Runs rows alone and beside each other, and compares. One budget of time for all sets of rows. */
export class SharingExperiment {
  readonly #options: ExperimentOptions;
  /** What one row takes. */
  #rowMs = 0;
  readonly #startedAt = performance.now();
  /** What is not essential begins before this. */
  #until: number;
  #sizeMax: number;
  /** Rows of which an integer, a boolean or a string differed, as an ArgMax may where two values are nearly the same. */
  #ties = new Map<number, string>();

  constructor(options: ExperimentOptions) {
    this.#options = options;
    this.#until = this.#startedAt + options.budgetMs;
    this.#sizeMax = options.rowsMax;
  }

  isOver(): boolean {
    return performance.now() >= this.#until;
  }

  /** Judges a model by rows of one shape. */
  async judge(what: string, rows: Iterable<ProbeRow>): Promise<Verdict> {
    this.#ties = new Map();
    const alone: Alone[] = [];
    let fault = 'the model was not asked';
    let index = 0;
    const rest: ProbeRow[] = [];
    for (const row of rows) {
      if (index >= ESSENTIAL_ROWS && alone.length >= 2) rest.push(row);
      else if (this.#isOut()) return this.#slow(index);
      else {
        const one = await this.#runAlone(row, index);
        if (typeof one === 'string') fault = one;
        else if ('is' in one) return one;
        else {
          const unsteady = alone.length === 0 ? await this.#measure(one) : undefined;
          if (unsteady) return unsteady;
          alone.push(one);
        }
      }
      index += 1;
    }
    if (alone.length < 2) return { is: 'refused', why: `it refused ${what} (${fault})` };
    const bytes = Math.max(...alone.map(({ inputs, outputs }) => Math.max(bytesOf(inputs), bytesOf(outputs))));
    this.#sizeMax = Math.min(this.#options.rowsMax, Math.floor(JOINED_BYTES_MAX / Math.max(1, bytes)));
    if (this.#sizeMax < 2 && this.#options.rowsMax >= 2) {
      return { is: 'large', why: `one row takes ${bytes} bytes, and a run joins at most ${JOINED_BYTES_MAX}` };
    }
    return (await this.#essential(alone)) ?? (await this.#extra(alone, rest)) ?? this.#conclude(what, alone);
  }

  async #essential(alone: readonly Alone[]): Promise<Verdict | undefined> {
    for (const batch of essentialBatches(alone)) {
      if (this.#isOut()) return this.#slow(alone.length);
      const found = await this.#compare(batch);
      if (found) return found;
    }
    return undefined;
  }

  /** While there is time: the other rows, each beside an ordinary one, then larger batches. */
  async #extra(alone: Alone[], rest: readonly ProbeRow[]): Promise<Verdict | undefined> {
    for (const [i, row] of rest.entries()) {
      if (this.isOver()) return undefined;
      const one = await this.#runAlone(row, ESSENTIAL_ROWS + i);
      if (typeof one === 'string') continue;
      if ('is' in one) return one;
      const found = await this.#compare(i % 2 ? [one, ...alone.slice(0, 1)] : [...alone.slice(0, 1), one]);
      if (found) return found;
      alone.push(one);
    }
    const { random, rowsMax } = this.#options;
    for (const [i, size] of [...SIZES, Math.min(rowsMax, 256)].entries()) {
      if (this.isOver()) return undefined;
      // A large batch takes less than its rows alone.
      if (performance.now() + (size * this.#rowMs) / 2 > this.#until) continue;
      // By turns with all neighbours, whose NaN would hide what else is mixed, and without.
      const ordinary = alone.filter(({ kind }) => kind === 'ordinary');
      const from = i % 2 && ordinary.length > 1 ? ordinary : alone;
      const batch = Array.from({ length: size }, () => from[Math.floor(from.length * random())] ?? []).flat();
      const found = await this.#compare(batch);
      if (found) return found;
    }
    return undefined;
  }

  #conclude(what: string, alone: readonly Alone[]): Verdict {
    const [tie] = this.#ties.values();
    if (tie !== undefined) return { is: 'tie', why: tie };
    const [first, ...others] = alone.filter(({ what: content }) => content !== 'NaN');
    const differs = others.some(({ outputs }) => first && rowDifferences(first.outputs, outputs).length > 0);
    if (differs) return { is: 'proven', why: '' };
    return { is: 'constant', why: `all rows of ${what} gave one output` };
  }

  /** The same row once more: what it takes, and whether it gives the same. */
  async #measure(one: Alone): Promise<Verdict | undefined> {
    const before = performance.now();
    const outputs = await this.#options.run(one.inputs).then(
      (ran) => ran.outputs,
      () => [],
    );
    const took = performance.now() - before;
    this.#rowMs = took;
    const allowed = took < QUICK_MS ? QUICK_PROOF_MS : SLOW_RUNS * took;
    this.#until = this.#startedAt + Math.min(this.#options.budgetMs, allowed);
    const [difference] = rowDifferences(one.outputs, outputs);
    if (!difference) return undefined;
    return { is: 'random', why: `output "${difference.output}" of one row is another one each time it runs` };
  }

  /** The row with its outputs; what the model said where it refuses the row; or a verdict. */
  async #runAlone(row: ProbeRow, index: number): Promise<Alone | string | Verdict> {
    let outputs: Tensor[];
    try {
      ({ outputs } = await this.#options.run(row.inputs));
    } catch (error) {
      return error instanceof Error ? error.message : String(error);
    }
    const odd = outputs.find(({ shape }) => shape[0] !== 1);
    if (!odd) return { ...row, outputs, index };
    return { is: 'dependent', why: `Output "${odd.name}" has ${odd.shape[0] ?? 'no'} rows for one row of inputs` };
  }

  async #compare(batch: readonly Alone[]): Promise<Verdict | undefined> {
    if (batch.length < 2 || batch.length > this.#sizeMax) return undefined;
    const probe = `a probe of ${batch.length} rows: ${[...new Set(batch.map(({ what }) => what))].slice(0, 4).join(', ')}`;
    let outputs: Tensor[];
    try {
      ({ outputs } = await this.#options.run(joinInputs(batch.map(({ inputs }) => inputs))));
    } catch (error) {
      if (!SHORTAGE.test(String(error))) {
        return { is: 'dependent', why: `A run fails whose rows all succeed alone (${probe})` };
      }
      this.#sizeMax = batch.length - 1;
      return undefined;
    }
    const odd = outputs.find(({ shape }) => shape[0] !== batch.length);
    if (odd) {
      const why = `Output "${odd.name}" has ${odd.shape[0] ?? 'no'} rows for ${batch.length} rows of inputs (${probe})`;
      return { is: 'dependent', why };
    }
    for (const [i, { outputs: alone, index, kind }] of batch.entries()) {
      if (kind === 'extreme') continue;
      const beside = outputs.map((output) => sliceRows(output, i, 1));
      for (const { kind: of, text } of rowDifferences(alone, beside)) {
        const why = `${text} (${probe})`;
        if (of === 'exact') this.#ties.set(index, why);
        if (of !== 'exact' || this.#ties.size > 1) return { is: 'dependent', why };
      }
    }
    return undefined;
  }

  #isOut(): boolean {
    return performance.now() - this.#startedAt >= this.#options.budgetMs;
  }

  #slow(rows: number): Verdict {
    return {
      is: 'slow',
      why: `${rows} of its probes took all of the ${this.#options.budgetMs} ms that a proof may take`,
    };
  }
}

/** The batches that are tried whatever they cost: at every place of small ones, beside each neighbour by itself, since NaN hides the rest. */
function* essentialBatches(alone: readonly Alone[]): Generator<Alone[]> {
  const ordinary = alone.filter(({ kind }) => kind === 'ordinary');
  const [first, second = first, third = second] = ordinary.length > 0 ? ordinary : alone;
  if (!first || !second || !third) return;
  const neighbours = alone.filter((row) => !ordinary.includes(row));
  // The first row twice: some models look for what they have seen.
  yield [first, second, first];
  for (const [i, neighbour] of neighbours.entries()) yield i % 2 ? [second, neighbour] : [neighbour, first];
  const [one = second, other = third] = neighbours.toReversed();
  yield [third, one, first, other, second];
}

function bytesOf(tensors: readonly Tensor[]): number {
  return tensors.reduce((sum, tensor) => sum + byteLength(tensor), 0);
}
