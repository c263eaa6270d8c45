import * as ort from 'onnxruntime-node';
import { bytesOf, type Datatype, type Tensor, viewAs } from '../../src/tensor/tensor.ts';

/** A process that runs models by onnxruntime-node alone: what Foretell is compared with. A model that crashes it ends no more than it. */
export interface DirectRequest {
  file: string;
  inputs: Tensor[];
}

/** The outputs in the model's order; `null` for one that is no tensor. */
export type DirectAnswer = { outputs: (Tensor | null)[] } | { error: string };

const TYPES = {
  ...{
    BOOL: 'bool',
    UINT8: 'uint8',
    UINT16: 'uint16',
    UINT32: 'uint32',
    UINT64: 'uint64',
    INT8: 'int8',
    INT16: 'int16',
  },
  ...{ INT32: 'int32', INT64: 'int64', FP16: 'float16', FP32: 'float32', FP64: 'float64', STRING: 'string' },
} as const satisfies Record<Datatype, ort.Tensor.Type>;
const NAMES = new Map<string, string>(Object.entries(TYPES).map(([datatype, type]) => [type, datatype]));

// Its float16 does not work with the language's own Float16Array (see workers/inference/onnx/onnx-session.ts).
Reflect.deleteProperty(globalThis, 'Float16Array');

async function run({ file, inputs }: DirectRequest): Promise<DirectAnswer> {
  const session = await ort.InferenceSession.create(file, { logSeverityLevel: 4, intraOpNumThreads: 1 });
  const feeds = Object.fromEntries(session.inputNames.map((name, i) => [name, toOrt(inputs[i])]));
  const results = await session.run(feeds);
  const outputs = session.outputNames.map((name) => fromOrt(name, results[name]));
  await session.release();
  return { outputs };
}

function toOrt(tensor: Tensor | undefined): ort.Tensor {
  if (!tensor) throw new Error('an input without test data');
  const { datatype, shape, data } = tensor;
  if (datatype === 'STRING' || Array.isArray(data))
    return new ort.Tensor('string', Array.isArray(data) ? data : [], shape);
  const elements = datatype === 'BOOL' ? data : viewAs(datatype === 'FP16' ? 'UINT16' : datatype, data);
  return Reflect.construct(ort.Tensor, [TYPES[datatype], elements, shape]);
}

function fromOrt(name: string, value: unknown): Tensor | null {
  if (!(value instanceof ort.Tensor)) return null;
  const { type, dims, data } = value;
  const datatype = NAMES.get(type) as Datatype | undefined;
  if (!datatype) return null;
  return { name, datatype, shape: [...dims], data: Array.isArray(data) ? data : Buffer.from(bytesOf(data)) };
}

process.on('message', (request: DirectRequest) => {
  void run(request)
    .catch((error: unknown): DirectAnswer => ({ error: String(error) }))
    .then((answer) => process.send?.(answer));
});
