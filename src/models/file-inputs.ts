import { fileBytes } from '../media/file-bytes.ts';
import { type MediaAllowance, MediaFault } from '../media/media.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { type InputIssues, isRecord, type Path } from './input-issues.ts';
import type { TypedApi } from './typed-api.ts';

/** What a file became: a tensor's data and its shape, without the batch. No JSON can pretend to be one. */
export class FileTensor {
  readonly shape: number[];
  /** None where the file could not be read; its fault is told already. */
  readonly data: Uint8Array | undefined;

  constructor(shape: number[], data: Uint8Array | undefined) {
    this.shape = shape;
    this.data = data;
  }
}

/** Counts what reading the input or file at this path takes; throws where it is too much. */
export type AllowanceAt = (path: Path) => MediaAllowance;

/**
 * The input with each file in it replaced by its tensor, for the one reader that checks everything. One after the other, so that a request
 * with a thousand pictures does not keep others waiting for their one. Faults go to `issues`.
 */
export async function readFileInputs(
  typedApi: TypedApi,
  input: unknown,
  path: Path,
  allowance: AllowanceAt,
  issues: InputIssues,
): Promise<unknown> {
  if (!isRecord(input)) return input;
  const tensors: Record<string, FileTensor> = {};
  for (const { file } of typedApi.inputs) {
    const value = file && input[file.name];
    if (!file || value == null || issues.full) continue;
    const { name, reader } = file;
    try {
      const allowed = allowance([...path, name]);
      // Each time that the same file is named takes as long.
      if (typeof value === 'string') await allowed.turn(value.length);
      const data = await reader.read(fileBytes(value), allowed);
      tensors[name] = new FileTensor(reader.shape, data);
    } catch (error) {
      if (!(error instanceof MediaFault)) throw error;
      issues.add([...path, name], error.message);
      tensors[name] = new FileTensor(reader.shape, undefined);
    }
  }
  return { ...input, ...tensors };
}

/** Whether these are the data of a tensor that a file in this input became. */
export function isOfFile(input: unknown, data: Tensor['data']): boolean {
  return isRecord(input) && Object.values(input).some((value) => value instanceof FileTensor && value.data === data);
}
