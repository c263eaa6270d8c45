import type { Submission } from '../task/task.ts';
import {
  byteLength,
  describeShape,
  elementCount,
  fitsShape,
  STORAGE,
  type Tensor,
  type TensorSpec,
  viewAs,
} from '../tensor/tensor.ts';
import type { ServedModel } from './served-model.ts';

/**
 * The most that the outputs of one task may take. More would not reach the store in the time that a command has, however often it
 * is sent, and whoever waits for a store begins nothing else.
 */
export const OUTPUT_BYTES_MAX = 64 * 1024 * 1024;

/**
 * What is wrong with the outputs of one task's run, beside what the model registered; `undefined` if nothing is. So whatever
 * is stored as a result can be read again, by the door its task came in.
 */
export function outputFault(
  model: ServedModel,
  door: Submission['door'],
  outputs: readonly Tensor[],
): string | undefined {
  for (const spec of model.signature.outputs) {
    const output = outputs.find(({ name }) => name === spec.name);
    const fault = output ? tensorFault(spec, output) : 'the model did not return it';
    const labels = model.names.outputs[spec.name]?.labels;
    const found = fault ?? (output && door === 'typed' ? typedFault(model, output, labels) : undefined);
    if (found) return `output "${spec.name}": ${found}`;
  }
  return sizeFault(outputs);
}

function sizeFault(outputs: readonly Tensor[]): string | undefined {
  const sizes = outputs.map(byteLength);
  const bytes = sizes.reduce((sum, size) => sum + size, 0);
  if (bytes <= OUTPUT_BYTES_MAX) return undefined;
  const each = outputs.map(({ name }, i) => `"${name}" ${sizes[i]}`).join(', ');
  return `outputs: expected at most ${OUTPUT_BYTES_MAX} bytes, got ${bytes} (${each})`;
}

function tensorFault({ datatype, shape }: TensorSpec, output: Tensor): string | undefined {
  if (output.datatype !== datatype) return `expected ${datatype}, got ${output.datatype}`;
  if (!fitsShape(output.shape, shape)) {
    return `expected shape ${describeShape(shape)}, got ${describeShape(output.shape)}`;
  }
  const count = elementCount(output.shape);
  const found = output.data.length / (STORAGE[datatype].bytes || 1);
  return found === count ? undefined : `expected ${count} elements, got ${found}`;
}

/** A typed prediction is one row, its labels have names, and GraphQL's Float has no way to say NaN or Infinity. */
function typedFault({ signature }: ServedModel, output: Tensor, labels?: readonly string[]): string | undefined {
  const { datatype, shape, data } = output;
  if (signature.batched && shape[0] !== 1) return `expected one row for one task, got shape ${describeShape(shape)}`;
  if (datatype === 'STRING' || Array.isArray(data)) return undefined;
  const numbers: ArrayLike<number | bigint> = viewAs(datatype, data);
  const isFloat = STORAGE[datatype].kind === 'float';
  for (let i = 0; i < numbers.length; i += 1) {
    const number = Number(numbers[i]);
    if (isFloat && !Number.isFinite(number)) return `expected finite numbers, got ${number} at index ${i}`;
    if (labels && !(number in labels))
      return `expected a label from 0 to ${labels.length - 1}, got ${number} at index ${i}`;
  }
  return undefined;
}
