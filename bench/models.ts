import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type ModelFixture, writeModel } from '../tests/support/model-files.ts';
import { floats, onnxModel, value } from '../tests/support/onnx.ts';

/** Writes a models directory for as long as `use` runs. */
export async function withModels<T>(
  models: Record<string, ModelFixture>,
  use: (directory: string) => Promise<T>,
): Promise<T> {
  const directory = await mkdtemp(join(tmpdir(), 'foretell-bench-'));
  try {
    for (const [name, fixture] of Object.entries(models)) await writeModel(directory, name, fixture);
    return await use(directory);
  } finally {
    await rm(directory, { recursive: true });
  }
}

/** `y = … relu(x · w) · w`: a network of these widths, FP32 `[batch, widths[0]]`, with weights of no meaning. */
export function dense(widths: readonly number[]): Buffer {
  const [first = 0] = widths;
  const layers = widths.slice(1).map((outputs, i) => ({ inputs: widths[i] ?? first, outputs, i }));
  const isLast = (i: number) => i === layers.length - 1;
  return onnxModel({
    inputs: [value('x', 'FP32', ['batch', first])],
    outputs: [value('y', 'FP32', ['batch', widths.at(-1) ?? first])],
    nodes: layers.flatMap(({ i }) => [
      { op: 'MatMul', inputs: [i === 0 ? 'x' : `relu${i - 1}`, `w${i}`], outputs: [isLast(i) ? 'y' : `sum${i}`] },
      ...(isLast(i) ? [] : [{ op: 'Relu', inputs: [`sum${i}`], outputs: [`relu${i}`] }]),
    ]),
    initializers: layers.map(({ inputs, outputs, i }) =>
      floats(
        `w${i}`,
        Array.from({ length: inputs * outputs }, (_, at) => Math.sin(at) / inputs),
        [inputs, outputs],
      ),
    ),
  });
}
