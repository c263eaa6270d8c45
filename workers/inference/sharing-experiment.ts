import { byteLengths, type Tensor } from '../../src/tensor/tensor.ts';
import {
  essentialBatches,
  furtherBatches,
  largestBatches,
  ROWS_FEW,
  type RowAlone,
  type Sampled,
  type Sampling,
} from './probe-batches.ts';
import type { ProbeRow } from './probe-rows.ts';
import { ProofBudget } from './proof-budget.ts';
import { isRounding, rowDifferences } from './row-difference.ts';
import { conclusion, haveSeveralOutputs, type RunRows, type Verdict } from './sharing-verdict.ts';
import { joinInputs, sliceRows } from './tensor-rows.ts';

/** Of the rows of a set, how many are tried whatever they cost: fewer (`ROWS_FEW`) where each takes long, or much memory. */
const ROWS_ESSENTIAL = 7;
const FEW_FROM_MS = 80;
const FEW_FROM_BYTES = 4 * 1024 * 1024;

/** The most bytes of inputs, and of outputs, that are joined: what the batcher joins. */
const JOINED_BYTES_MAX = 64 * 1024 * 1024;

/** What ONNX Runtime says where memory is short: nothing of the rows. */
const SHORTAGE = /bad_alloc|allocat|out of memory/i;

/** How often a row that no model is made for is looked into: where its own sums cancel each other out, it always differs. */
const DOUBTS_MAX = 2;

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
  #ordinary: RowAlone[] = [];
  #sizeMax: number;
  /** Rows of which an integer, a boolean or a string differed, as an ArgMax may where two values are nearly the same. */
  #ties = new Map<number, string>();
  #doubts = new Map<RowAlone, number>();

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
    this.#doubts = new Map();
    this.#ordinary = [];
    const alone: RowAlone[] = [];
    const found =
      (await this.#first(what, alone, rows)) ??
      (await this.#essential(alone)) ??
      (await this.#batches(largestBatches(this.#sampling(alone)))) ??
      (await this.#others(alone, rows)) ??
      (await this.#batches(furtherBatches(this.#sampling(alone))));
    return found ?? conclusion(what, { alone, tie: [...this.#ties.values()][0] });
  }

  /** The rows that are tried whatever they cost, each alone. */
  async #first(what: string, alone: RowAlone[], rows: Iterator<ProbeRow>): Promise<Verdict | undefined> {
    let refusal = '';
    for (let index = 0; index < this.#rowsEssential || alone.length < 2; index += 1) {
      if (this.#budget.isOut(1)) return this.#slow(index);
      const { value: row, done } = rows.next();
      if (done) break;
      const one = await this.#runAlone(row, index);
      if (typeof one === 'string') {
        refusal = one;
        continue;
      }
      const found = 'is' in one ? one : await this.#addMeasured(one, alone);
      if (found) return found;
    }
    return alone.length < 2 ? { is: 'refused', why: `it refused ${what} (${refusal})` } : undefined;
  }

  /** The first row is also run once more. */
  async #addMeasured(row: RowAlone, alone: RowAlone[]): Promise<Verdict | undefined> {
    const verdict = alone.length === 0 ? await this.#measure(row) : undefined;
    if (!verdict) this.#add(row, alone);
    return verdict;
  }

  get #rowsEssential(): number {
    return this.#isCostly ? ROWS_FEW : ROWS_ESSENTIAL;
  }

  get #isCostly(): boolean {
    return this.#budget.rowMs > FEW_FROM_MS || this.#rowBytes > FEW_FROM_BYTES;
  }

  async #essential(alone: readonly RowAlone[]): Promise<Verdict | undefined> {
    for (const batch of essentialBatches(alone)) {
      if (this.#budget.isOut(batch.length)) return this.#slow(alone.length);
      const found = await this.#compare(batch);
      if (found) return found;
    }
    return undefined;
  }

  /** While there is time, or nothing has been shown: the other rows, each beside an ordinary one. */
  async #others(alone: RowAlone[], rows: Iterator<ProbeRow>): Promise<Verdict | undefined> {
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

  async #batches(batches: Iterable<Sampled>): Promise<Verdict | undefined> {
    for (const { size, make } of batches) {
      const found = this.#budget.affords(size) ? await this.#compare(make()) : undefined;
      if (found) return found;
    }
    return undefined;
  }

  #sampling(alone: readonly RowAlone[]): Sampling {
    const { random, rowsMax } = this.#options;
    return { alone, ordinary: this.#ordinary, rowsMax, random };
  }

  #isWorthMore(alone: readonly RowAlone[]): boolean {
    if (haveSeveralOutputs(alone)) return !this.isOver() && !this.#isCostly;
    return !this.#budget.isOut(1);
  }

  /** The same row once more: what it takes, and whether it gives the same. */
  async #measure({ inputs, outputs: before }: RowAlone): Promise<Verdict | undefined> {
    const again = () => this.#run(inputs, 1).catch(() => []);
    const outputs = await this.#budget.measure(again);
    const [difference] = rowDifferences(before, outputs);
    if (difference) {
      return { is: 'random', why: `output "${difference.output}" of one row differs from run to run` };
    }
    this.#rowBytes = Math.max(byteLengths(inputs), byteLengths(outputs));
    this.#sizeMax = Math.min(this.#options.rowsMax, Math.floor(JOINED_BYTES_MAX / Math.max(1, this.#rowBytes)));
    if (this.#sizeMax > 1) return undefined;
    return { is: 'large', why: `one row takes ${this.#rowBytes} bytes, and a run joins at most ${JOINED_BYTES_MAX}` };
  }

  /** The row with its outputs; what the model said where it refuses the row; or a verdict. */
  async #runAlone(row: ProbeRow, index: number): Promise<RowAlone | string | Verdict> {
    let outputs: Tensor[];
    try {
      outputs = await this.#run(row.inputs, 1);
    } catch (error) {
      return error instanceof Error ? error.message : String(error);
    }
    const odd = outputs.find(({ shape }) => shape[0] !== 1);
    if (!odd) return { ...row, outputs, index };
    return { is: 'dependent', why: `output "${odd.name}" has ${odd.shape[0] ?? 'no'} rows for one row of inputs` };
  }

  async #compare(batch: readonly RowAlone[]): Promise<Verdict | undefined> {
    if (batch.length < 2 || batch.length > this.#sizeMax) return undefined;
    const probe = `a probe of ${batch.length} rows: ${[...new Set(batch.map(({ what }) => what))].slice(0, 4).join(', ')}`;
    let outputs: Tensor[];
    try {
      outputs = await this.#runBatch(batch);
    } catch (error) {
      if (!SHORTAGE.test(String(error))) {
        return { is: 'dependent', why: `a run fails whose rows all succeed alone (${probe})` };
      }
      this.#sizeMax = batch.length - 1;
      return undefined;
    }
    const odd = outputs.find(({ shape }) => shape[0] !== batch.length);
    if (odd) {
      const why = `output "${odd.name}" has ${odd.shape[0] ?? 'no'} rows for ${batch.length} rows of inputs (${probe})`;
      return { is: 'dependent', why };
    }
    for (const [i, row] of batch.entries()) {
      const beside = outputs.map((output) => sliceRows(output, i, 1));
      const found = row.isOrdinary ? this.#mixed(row, beside) : await this.#mixedBy({ batch, place: i, beside });
      if (found) return { is: 'dependent', why: `${found} (${probe})` };
    }
    return undefined;
  }

  async #runBatch(batch: readonly RowAlone[]): Promise<Tensor[]> {
    return this.#run(joinInputs(batch.map(({ inputs }) => inputs)), batch.length);
  }

  async #run(inputs: readonly Tensor[], rows: number): Promise<Tensor[]> {
    return (await this.#budget.run(rows, () => this.#options.run(inputs))).outputs;
  }

  /** What of an ordinary row's outputs beside others is not what it is alone. */
  #mixed({ outputs: alone, index }: RowAlone, beside: readonly Tensor[]): string | undefined {
    for (const difference of rowDifferences(alone, beside)) {
      if (isRounding(difference, joinInputs(this.#ordinary.map((row) => row.outputs)))) continue;
      const { kind, text } = difference;
      if (kind === 'exact') this.#ties.set(index, text);
      if (kind !== 'exact' || this.#ties.size > 1) return text;
    }
    return undefined;
  }

  /**
   * The same for a row that no model is made for. Its sums may be rounded into anything, but among as many copies of itself, at the same place,
   * they are rounded as they were: what still differs comes from its neighbours.
   */
  async #mixedBy(of: { batch: readonly RowAlone[]; place: number; beside: Tensor[] }): Promise<string | undefined> {
    const { batch, place, beside } = of;
    const row = batch[place];
    if (!row || rowDifferences(row.outputs, beside).length === 0) return undefined;
    const doubts = this.#doubts.get(row) ?? 0;
    if (doubts >= DOUBTS_MAX || this.#budget.isOut(batch.length)) return undefined;
    this.#doubts.set(row, doubts + 1);
    const outputs = await this.#runBatch(batch.map(() => row)).catch(() => undefined);
    if (outputs?.some(({ shape }) => shape[0] !== batch.length)) return undefined;
    const among = outputs?.map((output) => sliceRows(output, place, 1));
    return among && rowDifferences(among, beside)[0]?.text;
  }

  #add(one: RowAlone, alone: RowAlone[]): void {
    alone.push(one);
    if (one.isOrdinary) this.#ordinary.push(one);
  }

  #slow(rows: number): Verdict {
    const why = `${rows} of its probes used up the ${this.#options.budgetMs} ms of a proof`;
    return { is: 'slow', why };
  }
}
