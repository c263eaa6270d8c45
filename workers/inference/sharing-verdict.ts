import type { Tensor } from '../../src/tensor/tensor.ts';
import type { RowAlone } from './probe-batches.ts';
import { rowDifferences } from './row-difference.ts';

export type RunRows = (inputs: readonly Tensor[]) => Promise<{ outputs: Tensor[] }>;

/** What one set of rows has shown, and why, as a clause for people. */
export interface Verdict {
  is: 'proven' | 'dependent' | 'refused' | 'constant' | 'random' | 'tie' | 'slow' | 'large';
  why: string;
}

/** What a set of rows has shown of which none differed beside others, but for the ties of one. */
export function conclusion(
  what: string,
  { alone, tie }: { alone: readonly RowAlone[]; tie: string | undefined },
): Verdict {
  if (tie !== undefined) return { is: 'tie', why: tie };
  if (haveSeveralOutputs(alone)) return { is: 'proven', why: '' };
  return { is: 'constant', why: `all rows of ${what} gave one output` };
}

/** What rows are called that prove nothing by outputs of their own. */
const NOT_FINITE = /NaN|infinities/;

/** Whether rows give different outputs: the same one for all would prove nothing. */
export function haveSeveralOutputs(alone: readonly RowAlone[]): boolean {
  const [first, ...others] = alone.filter((row) => !NOT_FINITE.test(row.what));
  return others.some(({ outputs }) => first && rowDifferences(first.outputs, outputs).length > 0);
}
