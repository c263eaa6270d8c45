import type { TensorSpec } from '../tensor.ts';
import type { Signature } from './served-model.ts';

/** A tensor as ONNX describes it: a dimension is a length, or the symbol of one that may vary (`''` or a negative number: no symbol). */
export interface OnnxTensor {
  name: string;
  datatype: TensorSpec['datatype'];
  dimensions: (number | string)[] | null;
}

/** Symbols that exporters give to a batch; a leading `sequence` or `num_boxes` is no batch, and rows that share it are not independent. */
const BATCH_SYMBOL = /^(|n|b|bs|batch|batch_?size|batch_?dim|none|\?|unk__\d+|dynamic_axes_\d+|.*_dynamic_axes_1)$/i;

/**
 * What a model takes and gives. The batch dimension is recognised where dimension 0 of every input and output may vary
 * and has one symbol throughout that names a batch; a manifest's `batched` says it where that is not enough.
 */
export function signatureOf(
  inputs: readonly OnnxTensor[],
  outputs: readonly OnnxTensor[],
  batched?: boolean,
): Signature {
  const leading = [...inputs, ...outputs].map(({ dimensions }) => symbolOf(dimensions?.[0]));
  const batchable = inputs.length > 0 && leading.every((symbol) => symbol !== undefined);
  const recognised = batchable && leading.every((symbol) => symbol === leading[0] && BATCH_SYMBOL.test(symbol ?? ''));
  return {
    inputs: inputs.map(specOf),
    outputs: outputs.map(specOf),
    batched: batchable && (batched ?? recognised),
  };
}

/** Why no batch dimension is recognised, where none is. */
export function batchObstacle(inputs: readonly OnnxTensor[], outputs: readonly OnnxTensor[]): string | undefined {
  if (inputs.length === 0) return 'it has no inputs';
  const tensors = [
    ...inputs.map((tensor) => ({ ...tensor, called: `input "${tensor.name}"` })),
    ...outputs.map((tensor) => ({ ...tensor, called: `output "${tensor.name}"` })),
  ];
  for (const { called, dimensions } of tensors) {
    if (dimensions === null) return `the rank of ${called} is unknown`;
    if (dimensions.length === 0) return `${called} is a scalar`;
    if (symbolOf(dimensions[0]) === undefined) return `dimension 0 of ${called} is always ${dimensions[0]}`;
  }
  const [first, ...others] = tensors.map(({ called, dimensions }) => ({ called, symbol: symbolOf(dimensions?.[0]) }));
  const other = others.find(({ symbol }) => symbol !== first?.symbol);
  const advice = '"batched": true in model.json would say that it is the batch';
  if (first && other) {
    return `dimension 0 is "${first.symbol}" in ${first.called} and "${other.symbol}" in ${other.called}; ${advice}`;
  }
  return BATCH_SYMBOL.test(first?.symbol ?? '')
    ? undefined
    : `dimension 0 is called "${first?.symbol}", which names no batch; ${advice}`;
}

/** The symbol of a dimension that may vary, `''` if it has none; `undefined` for a fixed or missing one. */
function symbolOf(dimension: number | string | undefined): string | undefined {
  if (typeof dimension === 'string') return dimension;
  return dimension !== undefined && dimension < 0 ? '' : undefined;
}

function specOf({ name, datatype, dimensions }: OnnxTensor): TensorSpec {
  return {
    name,
    datatype,
    shape: dimensions?.map((dimension) => (typeof dimension === 'number' && dimension >= 0 ? dimension : null)) ?? null,
  };
}
