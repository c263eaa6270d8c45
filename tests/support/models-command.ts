import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { floats, onnxModel, value } from './onnx.ts';
import { runForetell } from './processes.ts';
import { temporaryDirectory } from './temporary-directory.ts';

/** What `scaling` multiplies by, as its file of weights has it. */
export const SCALE = Buffer.from(Float32Array.of(1, 2, 3, 4).buffer);

/** A folder with these files in it, where commands are run. */
export async function folder(files: Record<string, Buffer | string>) {
  const cwd = await temporaryDirectory();
  for (const [name, content] of Object.entries(files)) await writeFile(join(cwd, name), content);
  const run = (args: string[], settings = {}) => runForetell(['models', ...args], settings, { cwd });
  return { cwd, run };
}

/** `y = x · scale`, with the scale in a file of its own. */
export function scaling(location: string): Buffer {
  return onnxModel({
    inputs: [value('x', 'FP32', ['batch', 4])],
    outputs: [value('y', 'FP32', ['batch', 4])],
    nodes: [{ op: 'Mul', inputs: ['x', 'scale'], outputs: ['y'] }],
    initializers: [{ ...floats('scale', [1, 2, 3, 4]), location }],
  });
}
