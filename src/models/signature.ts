import type { TensorSpec } from '../tensor/tensor.ts';
import type { Signature } from './served-model.ts';

/** A tensor as ONNX describes it: a dimension is a length, or the symbol of one that may vary (`''` or a negative number: no symbol). */
export interface OnnxTensor {
  name: string;
  datatype: TensorSpec['datatype'];
  dimensions: (number | string)[] | null;
}

/**
 * What a model takes and gives. Dimension 0 is the batch where the structure allows it; `batched` is what a manifest says, or an
 * experiment found: `false` makes dimension 0 one like the others, `true` says that a repeated symbol means nothing.
 */
export function signatureOf(
  inputs: readonly OnnxTensor[],
  outputs: readonly OnnxTensor[],
  batched?: boolean,
): Signature {
  return {
    inputs: inputs.map(specOf),
    outputs: outputs.map(specOf),
    batched: batched !== false && batchObstacle(inputs, outputs, batched) === undefined,
  };
}

/**
 * Why the structure forbids that dimension 0 is a batch, where it does. Exporters name a batch in many ways, so names decide
 * nothing, but a symbol that stands in another place as well is no batch: `[N, 2]` beside `[N, N]` is a graph.
 */
export function batchObstacle(
  inputs: readonly OnnxTensor[],
  outputs: readonly OnnxTensor[],
  batched?: boolean,
): string | undefined {
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
  if (batched) return undefined;
  const leading = new Map(tensors.map(({ called, dimensions }) => [symbolOf(dimensions?.[0]), called]));
  // Dimensions without a name may be of different lengths.
  leading.delete('');
  for (const { called, dimensions } of tensors) {
    const place = dimensions?.findIndex((dimension, i) => i > 0 && leading.has(symbolOf(dimension))) ?? -1;
    if (place < 0) continue;
    const symbol = symbolOf(dimensions?.[place]);
    return `"${symbol}" is dimension 0 of ${leading.get(symbol)} and dimension ${place} of ${called}`;
  }
  return undefined;
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
