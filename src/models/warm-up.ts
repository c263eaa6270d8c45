import type { Tensor } from '../tensor/tensor.ts';
import { InputIssues } from './input-issues.ts';
import type { ServedModel } from './served-model.ts';
import { typedApiOf } from './typed-api.ts';
import { readTypedInput } from './typed-input.ts';

/** The tensors of each of a manifest's warm-up inputs, and what is wrong with them, each as `path: what was expected`. */
export function readWarmUp(
  model: ServedModel,
  warmUp: readonly Record<string, unknown>[],
): { inputs: Tensor[][]; faults: string[] } {
  if (warmUp.length === 0) return { inputs: [], faults: [] };
  const typedApi = typedApiOf(model);
  if (!typedApi) return { inputs: [], faults: ['warmUp: expected none, because the model has no typed input'] };
  const issues = new InputIssues();
  const { batched } = model.signature;
  const inputs = warmUp.map((input, i) => readTypedInput(typedApi, batched, input, ['warmUp', i], issues));
  const faults = issues.found ? issues.toError().issues : [];
  return { inputs, faults: faults.map(({ path, message }) => `${path.join('.')}: ${message}`) };
}
