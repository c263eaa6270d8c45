import type { Tensor } from '../../src/tensor/tensor.ts';
import { RunError } from '../inference/run-error.ts';
import { sliceRows } from '../inference/tensor-rows.ts';

/** How many rows a task's inputs have: their dimension 0; `undefined` where they do not agree in it, which no batch can hold. */
export function rowsOf(inputs: readonly Tensor[]): number | undefined {
  const rows = inputs[0]?.shape[0];
  return inputs.every(({ shape }) => shape[0] === rows) ? rows : undefined;
}

/** Tasks of one model whose inputs have the same key can share a run: they agree in everything but dimension 0. */
export function batchKey(inputs: readonly Tensor[]): string {
  return JSON.stringify(inputs.map(({ name, datatype, shape }) => [name, datatype, ...shape.slice(1)]));
}

/**
 * The outputs of a batch, given back to the tasks whose rows went in; views, not copies. Fails where an output's
 * dimension 0 is not the rows of the batch: such a model mixes its rows, and nobody can say whose is whose.
 */
export function splitOutputs(outputs: readonly Tensor[], rows: readonly (number | undefined)[]): Tensor[][] {
  if (rows.length === 1) return [[...outputs]];
  const total = rows.reduce<number>((sum, count = 0) => sum + count, 0);
  for (const { name, shape } of outputs) {
    if (shape[0] === total) continue;
    throw new RunError('INVALID_OUTPUT', `output "${name}": expected ${total} rows for ${total}, got shape [${shape}]`);
  }
  let start = 0;
  return rows.map((count = 0) => {
    const from = start;
    start += count;
    return outputs.map((output) => sliceRows(output, from, count));
  });
}
