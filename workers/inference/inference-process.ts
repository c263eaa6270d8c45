import assert from 'node:assert/strict';
import { dirname } from 'node:path';
import { Worker } from 'node:worker_threads';
import * as ort from 'onnxruntime-node';
import { messageOf } from '../../src/errors.ts';
import type { OnnxTensor } from '../../src/models/signature.ts';
import { bytesOf, DATATYPES, type Datatype, type Tensor, viewAs } from '../../src/tensor.ts';
import type {
  InferenceAnswer,
  InferenceReply,
  InferenceRequest,
  ModelFile,
  OnnxSignature,
} from './inference-messages.ts';
import { digestOf } from './model-file.ts';
import { declaredValues } from './onnx-file.ts';

/** Models that stay loaded; the one used least recently makes room for another. */
const SESSIONS_MAX = 64;

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

const sessions = new Map<string, ort.InferenceSession>();

async function answer(request: InferenceRequest): Promise<InferenceAnswer> {
  const session = await sessionOf(request.model);
  if (request.type === 'inspect') return { type: 'inspected', signature: signatureOf(session, request.model.file) };
  send({ type: 'running' });
  const feeds = Object.fromEntries(request.inputs.map((input) => [input.name, toOrt(input)]));
  const startedAt = performance.now();
  // Outputs that are no tensors are not asked for: they could not be read.
  const results = await session.run(
    feeds,
    tensorsIn(session.outputMetadata).map(({ name }) => name),
  );
  // To the microsecond, which is what can be measured.
  const runMs = Math.round((performance.now() - startedAt) * 1_000) / 1_000;
  return { type: 'ran', outputs: Object.entries(results).map(([name, result]) => fromOrt(name, result)), runMs };
}

async function sessionOf(model: ModelFile): Promise<ort.InferenceSession> {
  const key = `${model.digest} ${model.file}`;
  const session = sessions.get(key) ?? (await load(model));
  sessions.delete(key);
  sessions.set(key, session);
  const [oldest] = sessions;
  if (sessions.size > SESSIONS_MAX && oldest) {
    sessions.delete(oldest[0]);
    await oldest[1].release();
  }
  return session;
}

async function load({ file, digest }: ModelFile): Promise<ort.InferenceSession> {
  try {
    if ((await digestOf(file)) !== digest) throw new Error('the file has changed since it was announced');
    return await ort.InferenceSession.create(file, SESSION_OPTIONS);
  } catch (error) {
    // This may reach a client, who has no business with the server's directories.
    throw new Error(
      `the model could not be loaded: ${loadFault(messageOf(error), file).replaceAll(`${dirname(file)}/`, '')}`,
    );
  }
}

/** ONNX Runtime refuses a datatype that it cannot hand to JavaScript without a word on where it stands. */
function loadFault(message: string, file: string): string {
  const elementType = /^Unsupported data type: (\d+)$/.exec(message)?.[1];
  if (elementType === undefined) return message;
  const values = [...declaredValues(file)].filter(([, value]) => value.elementType === Number(elementType));
  const names = values.map(([name]) => `"${name}"`).join(', ');
  return `${names} ${values.length === 1 ? 'is' : 'are'} of ONNX's datatype ${elementType}; expected ${SERVED}`;
}

function signatureOf(session: ort.InferenceSession, file: string): OnnxSignature {
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
  const outputs = tensorsIn(session.outputMetadata);
  if (outputs.length === 0) throw new Error(`expected an output that is a tensor of ${SERVED}`);
  return { inputs: tensorsIn(session.inputMetadata).map(withRank), outputs: outputs.map(withRank) };
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

function send(reply: InferenceReply): void {
  // A worker that is gone hears nothing; the disconnect ends this process.
  process.send?.(reply, undefined, undefined, () => {});
}

process.on('message', (request: InferenceRequest) => {
  send({ type: 'heard' });
  answer(request)
    .then(send)
    .catch((error: unknown) => send({ type: 'failed', message: messageOf(error) }));
});
process.on('disconnect', () => process.exit());
// A terminal's Ctrl-C reaches the whole process group; this one goes on until the worker has drained and lets go of it.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => {});
// It has no part in what happens here, and does not keep the process alive.
new Worker(new URL('orphan-watch.js', import.meta.url), { workerData: process.ppid }).unref();
send({ type: 'ready' });
