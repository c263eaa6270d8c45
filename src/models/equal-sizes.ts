import { z } from 'zod';
import type { Tensor } from '../tensor/tensor.ts';

/** One dimension of one input. */
export interface SizePlace {
  input: string;
  dimension: number;
  /** A size of 1 is taken there as well, whatever the other sizes are: it is repeated. */
  orOne?: boolean | undefined;
}

/** Dimensions that have to be of one size. */
export interface EqualSizes {
  /** What the model calls the size; absent for a batch that has no one name. */
  symbol?: string | undefined;
  places: SizePlace[];
}

export const equalSizesSchema: z.ZodType<EqualSizes> = z.looseObject({
  symbol: z.string().optional(),
  places: z.array(
    z.looseObject({ input: z.string(), dimension: z.int().nonnegative(), orOne: z.boolean().optional() }),
  ),
});

/** Names the first two inputs whose sizes differ though they should be equal, and both sizes; `undefined` if none differ. */
export function sizesFault(groups: readonly EqualSizes[], inputs: readonly Tensor[]): string | undefined {
  for (const { symbol, places } of groups) {
    const sized = places.flatMap((place) => {
      const size = inputs.find(({ name }) => name === place.input)?.shape[place.dimension];
      return size === undefined || (size === 1 && place.orOne) ? [] : [{ ...place, size }];
    });
    const [first] = sized;
    const other = sized.find(({ size }) => size !== first?.size);
    if (!first || !other) continue;
    const what = symbol === undefined ? 'the batch' : `"${symbol}"`;
    return `the sizes of ${what} differ: ${sizeText(first)}, ${sizeText(other)}`;
  }
  return undefined;
}

function sizeText({ input, dimension, size }: SizePlace & { size: number }): string {
  return `${size} in dimension ${dimension} of input "${input}"`;
}
