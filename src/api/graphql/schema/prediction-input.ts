import { InputError, shortened } from '../../../errors.ts';
import { sizesFault } from '../../../models/equal-sizes.ts';
import { type AllowanceAt, isOfFile, readFileInputs } from '../../../models/file-inputs.ts';
import { InputIssues, type Path } from '../../../models/input-issues.ts';
import type { ServedModel } from '../../../models/served-model.ts';
import { boundFault } from '../../../models/size-bounds.ts';
import { readTensorsInput, type TensorInput } from '../../../models/tensors-input.ts';
import { typedApiOf } from '../../../models/typed-api.ts';
import { readTypedInput } from '../../../models/typed-input.ts';
import { faultsOf, findModel, type ModelRegistry } from '../../../registry/registry.ts';
import { byteLengths, type Tensor } from '../../../tensor/tensor.ts';
import type { PredictionRequest } from '../../predictions/submit.ts';
import type { Builder } from './builder.ts';
import type { ModelTypes } from './model-types.ts';
import type { TensorTypes } from './tensor-types.ts';

/** Characters of a name that an error repeats; no known name is longer. */
const NAME_LENGTH_MAX = 255;

/** Reading of inputs that takes longer continues in another turn of the event loop. */
const SLICE_MS = 20;

/** `PredictionInput` as GraphQL has coerced it: exactly one key, a model's field or `tensors`. */
export type PredictionInput = Record<string, unknown> & { tensors?: { model: string; inputs: TensorInput[] } | null };

export function addPredictionInput(builder: Builder, models: readonly ModelTypes[], tensors: TensorTypes) {
  return builder.inputRef<PredictionInput>('PredictionInput').implement({
    description:
      'The input of a prediction: exactly one model with its typed input (typed API), or any model with raw tensors (tensors API).',
    isOneOf: true,
    fields: (t) => ({
      ...Object.fromEntries(
        models.map(({ model, field, input, isServed }) => [
          field,
          t.field({
            type: input,
            ...(field !== model.name && { description: `Model "${model.name}".` }),
            ...(!isServed && {
              deprecationReason: `Model "${model.name}" was removed: submissions get UNKNOWN_MODEL.`,
            }),
          }),
        ]),
      ),
      tensors: t.field({ type: tensors.tensorsInput }),
    }),
  });
}

interface InputContext {
  version: string | null | undefined;
  /** The models that are known now. */
  registry: ModelRegistry;
  /** The models that the schema was built from. */
  models: readonly ModelTypes[];
  /** Takes memory for reading inputs. */
  allowance: AllowanceAt;
}

/**
 * Checks all inputs against their models before it returns any, so that nothing is queued if one is wrong.
 * Throws UNKNOWN_MODEL or INVALID_INPUT, with the path of each error.
 * @param paths where each input stands in the arguments
 */
export async function readPredictionInputs(
  inputs: readonly PredictionInput[],
  paths: readonly Path[],
  { version, registry, models, allowance }: InputContext,
): Promise<PredictionRequest[]> {
  const issues = new InputIssues();
  const requests: PredictionRequest[] = [];
  let since = performance.now();
  for (const [i, input] of inputs.entries()) {
    if (issues.full) break;
    const path = paths[i] ?? [];
    // A small request may use one variable for a thousand large inputs.
    if (performance.now() - since > SLICE_MS) {
      await allowance(path).turn(Number.POSITIVE_INFINITY);
      since = performance.now();
    }
    requests.push(await read(input, path));
  }
  issues.refuse();
  return requests;

  async function read(input: PredictionInput, path: Path): Promise<PredictionRequest> {
    if (input.tensors) {
      const model = requireModel(registry, input.tensors.model, version, [...path, 'tensors', 'model']);
      const at = [...path, 'tensors', 'inputs'];
      const inputs = readTensorsInput(model.signature, input.tensors.inputs, at, issues);
      checkSizes(model, inputs, at);
      hold(inputs, path);
      return { model, door: 'tensors', inputs, path };
    }
    const types = models.find(({ field }) => input[field] != null);
    const field = types?.field ?? '';
    const model = requireModel(registry, types?.model.name ?? field, version, [...path, field]);
    const typedApi = typedApiOf(model);
    if (!typedApi) {
      issues.add([...path, field], `version ${model.version} has no typed input; submit it with tensors`);
      return { model, door: 'typed', inputs: [], path };
    }
    const at = [...path, field];
    const value = await readFileInputs(typedApi, input[field], at, allowance, issues);
    const inputs = readTypedInput(typedApi, model.signature.batched, value, at, issues);
    checkSizes(model, inputs, at);
    // Those of files count since they were made.
    hold(
      inputs.filter(({ data }) => !isOfFile(value, data)),
      path,
    );
    return { model, door: 'typed', inputs, path };
  }

  /** Counted again for each input that the same variable stands in: each has tensors of its own. */
  function hold(tensors: readonly Tensor[], path: Path): void {
    allowance(path).hold(byteLengths(tensors));
  }

  /** Of tensors that are right each by itself. */
  function checkSizes({ signature }: ServedModel, inputs: readonly Tensor[], path: Path): void {
    const { equalSizes, maxSizes } = signature;
    const tooLarge = maxSizes && !issues.found ? boundFault(maxSizes, inputs) : undefined;
    if (tooLarge) issues.add(path, tooLarge);
    const fault = equalSizes && !issues.found ? sizesFault(equalSizes, inputs) : undefined;
    if (fault) issues.add(path, `expected equal sizes, but ${fault}`);
  }
}

function requireModel(
  registry: ModelRegistry,
  asked: string,
  askedVersion: string | null | undefined,
  path: Path,
): ServedModel {
  const served = registry.list();
  const model = findModel(served, asked, askedVersion);
  if (model) return model;
  const name = shortened(asked, NAME_LENGTH_MAX);
  const version = askedVersion && shortened(askedVersion, NAME_LENGTH_MAX);
  const why = faultsOf(registry, name, version)
    .map(({ message }) => ` (${message})`)
    .join('');
  const versions = served.flatMap((other) => (other.name === name ? [other.version] : []));
  if (versions.length > 0) {
    const message = `model "${name}" has no version "${version}"${why}; expected one of ${versions.join(', ')}`;
    throw new InputError('UNKNOWN_MODEL', [{ path: ['options', 'version'], message }]);
  }
  const names = [...new Set(served.map((other) => other.name))];
  const message = `no such model: "${name}"${why}; expected one of ${names.join(', ')}`;
  throw new InputError('UNKNOWN_MODEL', [{ path, message }]);
}
