import { byteLength, type Tensor } from '../../src/tensor/tensor.ts';
import { type Alone, essentialBatches, ROWS_FEW } from './essential-batches.ts';
import type { ProbeRow } from './probe-rows.ts';
import { ProofBudget } from './proof-budget.ts';
import { isRounding, rowDifferences } from './row-difference.ts';
import { joinInputs, sliceRows } from './tensor-rows.ts';

export type RunRows = (inputs: readonly Tensor[]) => Promise<{ outputs: Tensor[] }>;

/** What one set of rows has shown, and why, as a clause for people. */
export interface Verdict {
  is: 'proven' | 'dependent' | 'refused' | 'constant' | 'random' | 'tie' | 'slow' | 'large';
  why: string;
}

/** Of the rows of a set, how many are tried whatever they cost: fewer where each takes long, or much memory. */
const ROWS_ESSENTIAL = 6;
const FEW_FROM_MS = 80;
const FEW_FROM_BYTES = 4 * 1024 * 1024;

/** Batches beyond those that are tried whatever they cost, in the order of their worth. */
const SIZES = [17, 4, 33, 8, 6, 64, 16, 7, 32, 12, 5, 3];
const SIZE_MAX = 256;

/** The most bytes of inputs, and of outputs, that are joined: what the batcher joins. */
const JOINED_BYTES_MAX = 64 * 1024 * 1024;

/** Of what a model says of a probe that it refuses. */
const REFUSAL_CHARS_MAX = 300;

/** What ONNX Runtime says where memory is short: nothing of the rows. */
const SHORTAGE = /bad_alloc|allocat|out of memory/i;

export interface ExperimentOptions {
  run: RunRows;
  rowsMax: number;
  budgetMs: number;
  random: () => number;
}

/** Runs rows alone and beside each other, and compares. One budget of time for all sets of rows. */
export class SharingExperiment {
  readonly #options: ExperimentOptions;
  readonly #budget: ProofBudget;
  #rowBytes = 0;
  /** Rows that a model is made for, of the set that is judged. */
  #ordinary: Alone[] = [];
  #sizeMax: number;
  /** Rows of which an integer, a boolean or a string differed, as an ArgMax may where two values are nearly the same. */
  #ties = new Map<number, string>();

  constructor(options: ExperimentOptions) {
    this.#options = options;
    this.#budget = new ProofBudget(options.budgetMs);
    this.#sizeMax = options.rowsMax;
  }

  /** Whether there is time for essential probes alone. */
  isOver(): boolean {
    return !this.#budget.affords(1);
  }

  /** Judges a model by rows of one shape, which are made one by one. */
  async judge(what: string, rows: Iterator<ProbeRow>): Promise<Verdict> {
    this.#ties = new Map();
    this.#ordinary = [];
    const alone: Alone[] = [];
    return (
      (await this.#first(what, alone, rows)) ??
      (await this.#essential(alone)) ??
      (await this.#others(alone, rows)) ??
      (await this.#batches(alone)) ??
      this.#conclude(what, alone)
    );
  }

  /** The rows that are tried whatever they cost, each alone. */
  async #first(what: string, alone: Alone[], rows: Iterator<ProbeRow>): Promise<Verdict | undefined> {
    let refusal = '';
    for (let index = 0; index < this.#rowsEssential || alone.length < 2; index += 1) {
      if (this.#budget.isOut(1)) return this.#slow(index);
      const { value: row, done } = rows.next();
      if (done) break;
      const one = await this.#runAlone(row, index);
      if (typeof one === 'string') {
        refusal = one.slice(0, REFUSAL_CHARS_MAX);
        continue;
      }
      const found = 'is' in one ? one : await this.#addMeasured(one, alone);
      if (found) return found;
    }
    return alone.length < 2 ? { is: 'refused', why: `it refused ${what} (${refusal})` } : undefined;
  }

  get #rowsEssential(): number {
    return this.#isCostly ? ROWS_FEW : ROWS_ESSENTIAL;
  }

  get #isCostly(): boolean {
    return this.#budget.rowMs > FEW_FROM_MS || this.#rowBytes > FEW_FROM_BYTES;
  }

  async #essential(alone: readonly Alone[]): Promise<Verdict | undefined> {
    for (const batch of essentialBatches(alone)) {
      if (this.#budget.isOut(batch.length)) return this.#slow(alone.length);
      const found = await this.#compare(batch);
      if (found) return found;
    }
    return undefined;
  }

  /** While there is time, or nothing has been shown: the other rows, each beside an ordinary one. */
  async #others(alone: Alone[], rows: Iterator<ProbeRow>): Promise<Verdict | undefined> {
    const [first] = this.#ordinary;
    for (let index = this.#rowsEssential; this.#isWorthMore(alone); index += 1) {
      const { value: row, done } = rows.next();
      if (done || !first) return undefined;
      const one = await this.#runAlone(row, index);
      if (typeof one === 'string') continue;
      const found = 'is' in one ? one : await this.#compare(index % 2 ? [one, first] : [first, one]);
      if (found) return found;
      if (!('is' in one)) this.#add(one, alone);
    }
    return undefined;
  }

  /** While there is time: larger batches, by turns with all neighbours, whose NaN would hide what else is mixed, and without. */
  async #batches(alone: readonly Alone[]): Promise<Verdict | undefined> {
    const { random, rowsMax } = this.#options;
    const ordinary = this.#ordinary;
    for (const [i, size] of [...SIZES, Math.min(rowsMax, SIZE_MAX)].entries()) {
      if (!this.#budget.affords(size)) continue;
      const from = i % 2 && ordinary.length > 1 ? ordinary : alone;
      const batch = Array.from({ length: size }, () => from[Math.floor(from.length * random())] ?? []).flat();
      const found = await this.#compare(batch);
      if (found) return found;
    }
    return undefined;
  }

  #isWorthMore(alone: readonly Alone[]): boolean {
    if (haveSeveralOutputs(alone)) return !this.isOver() && !this.#isCostly;
    return !this.#budget.isOut(1);
  }

  #conclude(what: string, alone: readonly Alone[]): Verdict {
    const [tie] = this.#ties.values();
    if (tie !== undefined) return { is: 'tie', why: tie };
    if (haveSeveralOutputs(alone)) return { is: 'proven', why: '' };
    return { is: 'constant', why: `all rows of ${what} gave one output` };
  }

  /** The same row once more: what it takes, and whether it gives the same. */
  async #measure({ inputs, outputs: before }: Alone): Promise<Verdict | undefined> {
    const again = () =>
      this.#options.run(inputs).then(
        (ran) => ran.outputs,
        () => [],
      );
    const outputs = await this.#budget.measure(again);
    const [difference] = rowDifferences(before, outputs);
    if (difference) {
      return { is: 'random', why: `output "${difference.output}" of one row is another one each time it runs` };
    }
    this.#rowBytes = Math.max(bytesOf(inputs), bytesOf(outputs));
    this.#sizeMax = Math.min(this.#options.rowsMax, Math.floor(JOINED_BYTES_MAX / Math.max(1, this.#rowBytes)));
    if (this.#sizeMax > 1) return undefined;
    return { is: 'large', why: `one row takes ${this.#rowBytes} bytes, and a run joins at most ${JOINED_BYTES_MAX}` };
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
    return { is: 'dependent', why: `output "${odd.name}" has ${odd.shape[0] ?? 'no'} rows for one row of inputs` };
  }

  async #compare(batch: readonly Alone[]): Promise<Verdict | undefined> {
    if (batch.length < 2 || batch.length > this.#sizeMax) return undefined;
    const probe = `a probe of ${batch.length} rows: ${[...new Set(batch.map(({ what }) => what))].slice(0, 4).join(', ')}`;
    let outputs: Tensor[];
    try {
      ({ outputs } = await this.#options.run(joinInputs(batch.map(({ inputs }) => inputs))));
    } catch (error) {
      if (!SHORTAGE.test(String(error))) {
        return { is: 'dependent', why: `a run fails whose rows all succeed alone (${probe})` };
      }
      this.#sizeMax = batch.length - 1;
      return undefined;
    }
    const odd = outputs.find(({ shape }) => shape[0] !== batch.length);
    if (!odd) return this.#judgeRows(batch, outputs, probe);
    const why = `output "${odd.name}" has ${odd.shape[0] ?? 'no'} rows for ${batch.length} rows of inputs (${probe})`;
    return { is: 'dependent', why };
  }

  /** Compares what ordinary rows gave beside others with what they gave alone. */
  #judgeRows(batch: readonly Alone[], outputs: readonly Tensor[], probe: string): Verdict | undefined {
    for (const [i, { outputs: alone, index, isOrdinary }] of batch.entries()) {
      if (!isOrdinary) continue;
      const beside = outputs.map((output) => sliceRows(output, i, 1));
      for (const difference of rowDifferences(alone, beside)) {
        if (isRounding(difference, joinInputs(this.#ordinary.map((row) => row.outputs)))) continue;
        const { kind, text } = difference;
        const why = `${text} (${probe})`;
        if (kind === 'exact') this.#ties.set(index, why);
        if (kind !== 'exact' || this.#ties.size > 1) return { is: 'dependent', why };
      }
    }
    return undefined;
  }

  async #addMeasured(one: Alone, alone: Alone[]): Promise<Verdict | undefined> {
    const found = alone.length === 0 ? await this.#measure(one) : undefined;
    if (!found) this.#add(one, alone);
    return found;
  }

  #add(one: Alone, alone: Alone[]): void {
    alone.push(one);
    if (one.isOrdinary) this.#ordinary.push(one);
  }

  #slow(rows: number): Verdict {
    const why = `${rows} of its probes took all of the ${this.#options.budgetMs} ms that a proof may take`;
    return { is: 'slow', why };
  }
}

/** Whether rows give different outputs: the same one for all would prove nothing. */
function haveSeveralOutputs(alone: readonly Alone[]): boolean {
  const [first, ...others] = alone.filter((row) => !row.what.includes('NaN'));
  return others.some(({ outputs }) => first && rowDifferences(first.outputs, outputs).length > 0);
}

function bytesOf(tensors: readonly Tensor[]): number {
  return tensors.reduce((sum, tensor) => sum + byteLength(tensor), 0);
}
