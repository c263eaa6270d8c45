import { STORAGE, type Tensor } from '../../src/tensor/tensor.ts';

/** The inputs of several tasks with the same `batchKey`, one behind the other along dimension 0. */
export function joinInputs(tasks: readonly (readonly Tensor[])[]): Tensor[] {
  const [first = []] = tasks;
  if (tasks.length === 1) return [...first];
  return first.map(({ name, datatype, shape }, i) => {
    const parts = tasks.flatMap((inputs) => inputs[i] ?? []);
    const rows = parts.reduce((sum, part) => sum + (part.shape[0] ?? 0), 0);
    return { name, datatype, shape: [rows, ...shape.slice(1)], data: concat(parts) };
  });
}

function concat(parts: readonly Tensor[]): Tensor['data'] {
  const bytes: Uint8Array[] = [];
  const strings: string[][] = [];
  for (const { data } of parts) {
    if (Array.isArray(data)) strings.push(data);
    else bytes.push(data);
  }
  return strings.length > 0 ? strings.flat() : Buffer.concat(bytes);
}

/** Some of a tensor's rows, along dimension 0: a view, not a copy. */
export function sliceRows({ name, datatype, shape, data }: Tensor, from: number, count: number): Tensor {
  const [, ...row] = shape;
  const width = row.reduce((product, dimension) => product * dimension, STORAGE[datatype].bytes || 1);
  const start = from * width;
  const end = start + count * width;
  const rows = Array.isArray(data) ? data.slice(start, end) : data.subarray(start, end);
  return { name, datatype, shape: [count, ...row], data: rows };
}
