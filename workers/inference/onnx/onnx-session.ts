import assert from 'node:assert/strict';
import * as ort from 'onnxruntime-node';
import { messageOf } from '../../../src/errors.ts';
import type { ExecutionProvider } from '../../../src/models/manifest.ts';
import type { OnnxTensor } from '../../../src/models/signature.ts';
import { bytesOf, DATATYPES, type Datatype, type Tensor, viewAs } from '../../../src/tensor/tensor.ts';
import type { DeclaredSignature } from '../inference-messages.ts';
import { type LeftOut, leftOutText } from '../left-out.ts';
import type { Session } from '../session.ts';
import { type ProviderChoice, Providers } from './execution-providers.ts';
import { declaredValues } from './onnx-file.ts';

/** One run at a time on one core: there are as many inference processes as cores, and a thread that spins takes from its neighbour. */
const SESSION_OPTIONS: ort.InferenceSession.SessionOptions = {
  intraOpNumThreads: 1,
  interOpNumThreads: 1,
  executionMode: 'sequential',
  // What fails is thrown, and reported by the worker; ONNX Runtime need not write it to standard error as well.
  logSeverityLevel: 4,
  extra: { session: { intra_op: { allow_spinning: '0' } } },
};

const ORT_TYPES = {
  BOOL: 'bool',
  UINT8: 'uint8',
  UINT16: 'uint16',
  UINT32: 'uint32',
  UINT64: 'uint64',
  INT8: 'int8',
  INT16: 'int16',
  INT32: 'int32',
  INT64: 'int64',
  FP16: 'float16',
  FP32: 'float32',
  FP64: 'float64',
  STRING: 'string',
} as const satisfies Record<Datatype, ort.Tensor.Type>;

const DATATYPE_OF = new Map<string, Datatype>(DATATYPES.map((datatype) => [ORT_TYPES[datatype], datatype]));

/** For faults. */
const SERVED = Object.values(ORT_TYPES).join(', ');

// onnxruntime-node 1.30 wraps float16 in the language's own Float16Array where there is one, and its native half then
// sees no bytes in it ("not enough space: expected 4, got 0"). It looks once, at its first tensor: where it finds none it
// takes a Uint16Array, which works.
const { Float16Array } = globalThis;
Reflect.deleteProperty(globalThis, 'Float16Array');
new ort.Tensor([true]);
Object.assign(globalThis, { Float16Array });

/** The smallest model there is: `y = x`. */
const IDENTITY =
  'CAg6PwoSCgF4EgF5IghJZGVudGl0eToAEgVncmFwaFoQCgF4EgsKCQgBEgUKAxIBbmIQCgF5EgsKCQgBEgUKAxIBbkIECgAQEUIRCg1jb20ubWljcm9zb2Z0EAE=';

// What fails is thrown and reported; this keeps ONNX Runtime from writing of libraries that are not there as well.
ort.env.logLevel = 'fatal';

const providers = new Providers({
  known: ort.listSupportedBackends().map(({ name }) => name),
  attempt: (provider) => openIdentity([provider]),
});

/** Has ONNX Runtime take what it takes for itself, some 40 MB, which would otherwise seem to be the first model's. */
export async function startOnnxRuntime(): Promise<void> {
  await openIdentity([{ name: 'cpu' }]);
}

async function openIdentity(executionProviders: ExecutionProvider[]): Promise<void> {
  const options = { ...SESSION_OPTIONS, executionProviders };
  const session = await ort.InferenceSession.create(Buffer.from(IDENTITY, 'base64'), options);
  await session.release();
}

/**
 * Loads a model into this process, to be computed by the first of these that is there; what that one cannot do is for those
 * behind it, and always for the CPU. Throws where none is there.
 */
export async function openOnnxSession(
  file: string,
  wanted: readonly ExecutionProvider[],
  onMissing: (choice: ProviderChoice) => void,
): Promise<Session> {
  const choice = await providers.choose(wanted);
  if (choice.missing.length > 0) onMissing(choice);
  const options = { ...SESSION_OPTIONS, executionProviders: choice.found };
  const session = await ort.InferenceSession.create(file, options).catch((error: unknown) => {
    throw new Error(loadFault(messageOf(error), file));
  });
  const outputNames = tensorsIn(session.outputMetadata).map(({ name }) => name);
  return {
    signature: () => signatureOf(session, file),
    async run(inputs) {
      const feeds = Object.fromEntries(inputs.map((input) => [input.name, toOrt(input)]));
      const startedAt = performance.now();
      const results = await session.run(feeds, outputNames);
      // To the microsecond, which is what can be measured.
      const runMs = Math.round((performance.now() - startedAt) * 1_000) / 1_000;
      return { outputs: Object.entries(results).map(([name, result]) => fromOrt(name, result)), runMs };
    },
    release: () => session.release(),
  };
}

/** ONNX Runtime refuses a datatype that it cannot hand to JavaScript without a word on where it stands. */
function loadFault(message: string, file: string): string {
  const elementType = /^Unsupported data type: (\d+)$/.exec(message)?.[1];
  if (elementType === undefined) return message;
  const values = [...declaredValues(file)].filter(([, value]) => value.elementType === Number(elementType));
  const names = values.map(([name]) => `"${name}"`).join(', ');
  return `${names} ${values.length === 1 ? 'is' : 'are'} of ONNX's datatype ${elementType}; expected ${SERVED}`;
}

function signatureOf(session: ort.InferenceSession, file: string): DeclaredSignature {
  const declared = declaredValues(file);
  const withRank = (tensor: OnnxTensor): OnnxTensor => {
    const isUnknown = tensor.dimensions?.length === 0 && declared.get(tensor.name)?.hasShape === false;
    return isUnknown ? { ...tensor, dimensions: null } : tensor;
  };
  for (const input of session.inputMetadata) {
    if (tensorsIn([input]).length > 0) continue;
    const found = input.isTensor ? input.type : 'no tensor';
    throw new Error(`input "${input.name}" is ${found}; expected a tensor of ${SERVED}`);
  }
  // onnxruntime-node gives outputs as the keys of plain objects, where this is none.
  if (session.outputNames.includes('__proto__')) throw new Error('expected outputs with names other than "__proto__"');
  const outputs = tensorsIn(session.outputMetadata);
  const leftOut = session.outputMetadata.flatMap((output): LeftOut[] => {
    if (outputs.some(({ name }) => name === output.name)) return [];
    const kind = output.isTensor ? `tensor of ${output.type}` : (declared.get(output.name)?.kind ?? 'value');
    return [{ name: output.name, kind }];
  });
  if (outputs.length === 0) {
    throw new Error([`expected an output that is a tensor of ${SERVED}`, ...leftOut.map(leftOutText)].join('; '));
  }
  return { inputs: tensorsIn(session.inputMetadata).map(withRank), outputs: outputs.map(withRank), leftOut };
}

function tensorsIn(metadata: readonly ort.InferenceSession.ValueMetadata[]): OnnxTensor[] {
  return metadata.flatMap((value) => {
    const datatype = value.isTensor ? DATATYPE_OF.get(value.type) : undefined;
    return value.isTensor && datatype ? [{ name: value.name, datatype, dimensions: [...value.shape] }] : [];
  });
}

function toOrt({ datatype, shape, data }: Tensor): ort.Tensor {
  if (datatype === 'STRING' || Array.isArray(data)) {
    assert(datatype === 'STRING' && Array.isArray(data));
    return new ort.Tensor('string', data, shape);
  }
  if (datatype === 'BOOL') return new ort.Tensor('bool', data, shape);
  const elements = viewAs(datatype === 'FP16' ? 'UINT16' : datatype, data);
  if (elements instanceof BigInt64Array) return new ort.Tensor('int64', elements, shape);
  if (elements instanceof BigUint64Array) return new ort.Tensor('uint64', elements, shape);
  assert(datatype !== 'INT64' && datatype !== 'UINT64' && !(elements instanceof Float16Array));
  return new ort.Tensor(ORT_TYPES[datatype], elements, shape);
}

function fromOrt(name: string, { type, dims, data }: ort.Tensor): Tensor {
  const datatype = DATATYPE_OF.get(type);
  assert(datatype, `output "${name}": unexpected type ${type}`);
  return { name, datatype, shape: [...dims], data: Array.isArray(data) ? data : bytesOf(data) };
}
