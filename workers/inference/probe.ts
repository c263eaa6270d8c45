import { elementCount, STORAGE, type Tensor } from '../../src/tensor/tensor.ts';

/** One dimension of one tensor in another size. */
export interface Resize {
  tensor: string;
  dimension: number;
  size: number;
}

/** Runs of a model to learn what it takes: the same tensors each time, some of them in other sizes. */
export interface Probe {
  base: readonly Tensor[];
  runs: readonly (readonly Resize[])[];
  /** No run begins after so many milliseconds. */
  budgetMs: number;
}

export interface ProbeReport {
  /** What the model said of each run: `null` where it gave an answer, `undefined` where the run was not begun in time. */
  faults: (string | null | undefined)[];
  /** Milliseconds, without the wait for an inference process. */
  tookMs: number;
}

/** Does the runs of a probe one after the other; `run` rejects where the model refuses its inputs. */
export async function runProbe(
  { base, runs, budgetMs }: Probe,
  run: (inputs: readonly Tensor[]) => Promise<unknown>,
): Promise<ProbeReport> {
  const startedAt = performance.now();
  const faults: ProbeReport['faults'] = [];
  for (const resizes of runs) {
    const isDue = performance.now() - startedAt < budgetMs;
    const inputs = resizes.reduce(resized, base);
    faults.push(isDue ? await run(inputs).then(() => null, String) : undefined);
  }
  return { faults, tookMs: performance.now() - startedAt };
}

/** Tensors of which one has another size in one dimension: cut off, or repeated from its beginning. */
export function resized(tensors: readonly Tensor[], { tensor: name, dimension, size }: Resize): Tensor[] {
  return tensors.map((tensor) => {
    const { datatype, shape, data } = tensor;
    const before = shape[dimension];
    if (tensor.name !== name || before === undefined || before === 0 || before === size) return tensor;
    const width = elementCount(shape.slice(dimension + 1)) * (STORAGE[datatype].bytes || 1);
    const outer = elementCount(shape.slice(0, dimension));
    const starts = Array.from({ length: outer * size }, (_, i) => {
      return (Math.floor(i / size) * before + ((i % size) % before)) * width;
    });
    return {
      name,
      datatype,
      shape: shape.with(dimension, size),
      data: Array.isArray(data)
        ? starts.flatMap((start) => data.slice(start, start + width))
        : Buffer.concat(starts.map((start) => data.subarray(start, start + width))),
    };
  });
}
