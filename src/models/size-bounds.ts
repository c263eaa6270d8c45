import { z } from 'zod';
import type { Tensor } from '../tensor/tensor.ts';

/** The largest size that one dimension of one input may have. */
export interface SizeBound {
  input: string;
  dimension: number;
  /** What the model calls the size, where it has a name. */
  symbol?: string | undefined;
  max: number;
}

export const sizeBoundSchema: z.ZodType<SizeBound> = z.looseObject({
  input: z.string(),
  dimension: z.int().nonnegative(),
  symbol: z.string().optional(),
  max: z.int().positive(),
});

/** `maxSizes` of a manifest: a size by what the model calls it, or by its place, as in `ids[1]`. */
export const maxSizes = z.record(z.string(), z.int().min(1));

/** What a manifest's `maxSizes` bounds of a model's inputs; its faults where it names what the model does not have. */
export function sizeBoundsOf(
  sizes: Readonly<Record<string, number>>,
  inputs: readonly { name: string; dimensions: readonly (number | string)[] | null }[],
): { bounds: SizeBound[]; faults: string[] } {
  const free = inputs.flatMap(({ name: input, dimensions }) =>
    (dimensions ?? []).flatMap((size, dimension) => {
      const symbol = typeof size === 'string' && size !== '' ? size : undefined;
      return symbol !== undefined || Number(size) <= 0 ? [{ input, dimension, symbol }] : [];
    }),
  );
  const [bounds, faults]: [SizeBound[], string[]] = [[], []];
  for (const [key, max] of Object.entries(sizes)) {
    const named = free.filter(({ symbol }) => symbol === key);
    const places = named.length > 0 ? named : free.filter(({ input, dimension }) => key === `${input}[${dimension}]`);
    bounds.push(...places.map((place) => ({ ...place, max })));
    if (places.length > 0) continue;
    const known = new Set(
      free.flatMap(({ input, dimension, symbol }) => [symbol ?? [], `${input}[${dimension}]`].flat()),
    );
    const expected = known.size > 0 ? `expected some of ${[...known].join(', ')}` : 'no dimension is variable';
    faults.push(`maxSizes.${key}: no such variable dimension of an input; ${expected}`);
  }
  return { bounds, faults };
}

/** Names the first size that is larger than it may be; `undefined` if none is. */
export function boundFault(bounds: readonly SizeBound[], inputs: readonly Tensor[]): string | undefined {
  for (const { input, dimension, symbol, max } of bounds) {
    const size = inputs.find(({ name }) => name === input)?.shape[dimension] ?? 0;
    const called = symbol === undefined ? '' : ` ("${symbol}")`;
    if (size > max)
      return `expected at most ${max} in dimension ${dimension}${called} of input "${input}", got ${size}`;
  }
  return undefined;
}
