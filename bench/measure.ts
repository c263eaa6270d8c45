import type { Stage } from './stage.ts';

/** One line of the table. */
export interface Figure {
  /** What was measured: `single submits, 32 at once`. */
  what: string;
  unit: 'tasks/s' | 'ms' | 'kB' | 's' | 'MiB' | 'µs' | 'x';
  value: number;
  /** The same work with bare amqplib, ioredis and onnxruntime-node. */
  floor?: number;
}

/** Something that is measured, on a stage of its own servers. */
export interface Measure {
  name: string;
  run(stage: Stage): Promise<Figure[]>;
}

/** The middle one of several: a figure that one disturbed round does not change. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}

export function quantile(values: readonly number[], part: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))] ?? Number.NaN;
}

/** Calls `work` so many times, `width` of them at once. */
export async function inParallel(times: number, width: number, work: (i: number) => Promise<void>): Promise<void> {
  let next = 0;
  const lane = async () => {
    while (next < times) await work(next++);
  };
  await Promise.all(Array.from({ length: Math.min(width, times) }, lane));
}

export function chunked<T>(list: readonly T[], size: number): T[][] {
  return Array.from({ length: Math.ceil(list.length / size) }, (_, i) => list.slice(i * size, (i + 1) * size));
}
