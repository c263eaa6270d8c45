import type { EqualSizes, SizePlace } from '../../src/models/equal-sizes.ts';
import type { Manifest } from '../../src/models/manifest.ts';
import type { ServedModel, Signature } from '../../src/models/served-model.ts';
import type { OnnxTensor } from '../../src/models/signature.ts';
import { byteLengths, elementCount, type Tensor } from '../../src/tensor/tensor.ts';
import { pack } from '../../src/tensor/tensor-values.ts';
import type { Probe, ProbeReport, Resize } from '../inference/probe.ts';
import { RunError } from '../inference/run-error.ts';
import { givenInputs } from './given-inputs.ts';

/** What all of a model's probes may take; one run that began is waited for, within its own time. */
const BUDGET_MS = 1_000;
export const PROBE_TIMEOUT_MS = 10_000;
const RUNS_MAX = 96;
/** Inputs that are larger are not made up. */
const BASE_BYTES_MAX = 4 * 1024 * 1024;

/** The size that all have, and what one has beside it: fewer, more, and the one size that may be repeated. */
const EQUAL = 3;
const [FEWER, MORE, ONE] = [2, 4, 1];

/** Runs a probe; rejects where the process was lost over it. */
export type RunProbe = (probe: Probe) => Promise<ProbeReport>;

/** Dimensions of inputs that go by one symbol, and the batch: whether they have to be equal shows only in a run. */
export function sharedSymbols(inputs: readonly OnnxTensor[], { batched }: Pick<Signature, 'batched'>): EqualSizes[] {
  const named = Map.groupBy(
    inputs.flatMap(({ name: input, dimensions }) =>
      (dimensions ?? []).map((symbol, dimension) => ({ symbol, place: { input, dimension } })),
    ),
    ({ symbol }) => (typeof symbol === 'string' ? symbol : ''),
  );
  named.delete('');
  const groups: EqualSizes[] = [...named].map(([symbol, found]) => ({
    symbol,
    places: found.map(({ place }) => place),
  }));
  const leading = new Set(inputs.map(({ dimensions }) => dimensions?.[0]));
  const hasOneName = leading.size === 1 && named.has(String([...leading][0]));
  const batch = inputs.map(({ name: input }) => ({ input, dimension: 0 }));
  if (batched && !hasOneName) groups.push({ places: batch });
  return groups.filter(({ places }) => places.length > 1);
}

/**
 * Of these dimensions those that a model takes in one size only: it gave an answer whatever size all of them had, and none while
 * one of them had fewer or more than the others. What could not be shown within the bounds is left out.
 */
export async function shownEqual(
  groups: readonly EqualSizes[],
  bases: readonly (readonly Tensor[])[],
  run: RunProbe,
): Promise<EqualSizes[]> {
  let [runsLeft, budgetMs] = [RUNS_MAX, BUDGET_MS];
  const faultsOf = async (base: readonly Tensor[], wanted: Resize[][]): Promise<ProbeReport['faults']> => {
    const affordable = wanted.slice(0, runsLeft);
    if (affordable.length === 0 || budgetMs <= 0) return [];
    const { faults, tookMs } = await run({ base, runs: affordable, budgetMs });
    runsLeft -= affordable.length;
    budgetMs -= tookMs;
    return faults;
  };
  const found: EqualSizes[] = [];
  for (const { symbol, places } of groups) {
    const [all = [], ...others] = [EQUAL, FEWER, MORE].map((size) => places.map((place) => to(place, size)));
    // A size that all may not have says nothing of one that has it.
    const isTaken = async (base: readonly Tensor[]) =>
      (await faultsOf(base, [all]))[0] === null && (await faultsOf(base, others)).every((fault) => fault === null);
    const base = await firstAsync(bases, isTaken);
    if (!base) continue;
    const failing = async (of: SizePlace[], size: number) => {
      const faults = await faultsOf(
        base,
        of.map((place) => [...all, to(place, size)]),
      );
      return of.filter((_, i) => typeof faults[i] === 'string');
    };
    const bound = await failing(await failing(places, FEWER), MORE);
    if (bound.length < 2) continue;
    const without = new Set(await failing(bound, ONE));
    found.push({
      ...(symbol !== undefined && { symbol }),
      places: bound.map((place) => (without.has(place) ? place : { ...place, orOne: true })),
    });
  }
  return found;
}

/**
 * The model with what its process showed of sizes that have to be equal. A process that is lost or takes too long shows nothing: the
 * model is served as it is.
 */
export async function withEqualSizes(
  served: ServedModel,
  { groups, manifest, run }: { groups: readonly EqualSizes[]; manifest: Manifest; run: RunProbe },
): Promise<ServedModel> {
  if (groups.length === 0) return served;
  const equalSizes = await shownEqual(groups, probeBases(served, manifest), run).catch((error: unknown) => {
    if (error instanceof RunError) return [];
    throw error;
  });
  return equalSizes.length > 0 ? { ...served, signature: { ...served.signature, equalSizes } } : served;
}

/** Inputs to begin with: what the manifest says that the model takes, then made-up ones. */
function probeBases(served: ServedModel, manifest: Pick<Manifest, 'example' | 'warmUp'>): Tensor[][] {
  const said = givenInputs(served, manifest).map(({ inputs }) => inputs);
  return [...said, ...[1, 0].flatMap((element) => madeUp(served, element) ?? [])];
}

function madeUp({ signature }: ServedModel, element: number): Tensor[][] | undefined {
  const tensors: Tensor[] = [];
  for (const { name, datatype, shape } of signature.inputs) {
    const sizes = shape?.map((size) => size ?? EQUAL);
    if (!sizes || elementCount(sizes) > BASE_BYTES_MAX) return undefined;
    const elements = Array<number>(elementCount(sizes)).fill(element);
    tensors.push({ name, datatype, shape: sizes, data: pack(datatype, elements) });
  }
  return byteLengths(tensors) <= BASE_BYTES_MAX ? [tensors] : undefined;
}

function to({ input: tensor, dimension }: SizePlace, size: number): Resize {
  return { tensor, dimension, size };
}

async function firstAsync<T>(items: readonly T[], isWanted: (item: T) => Promise<boolean>): Promise<T | undefined> {
  for (const item of items) if (await isWanted(item)) return item;
  return undefined;
}
