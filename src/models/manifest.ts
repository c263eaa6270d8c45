import { z } from 'zod';
import { mediaOptions, mediaReader } from '../media/kinds.ts';
import { describeShape, STORAGE, type TensorSpec } from '../tensor/tensor.ts';
import type { Signature, TensorNames } from './served-model.ts';
import { maxSizes } from './size-bounds.ts';

/**
 * Longer than a prediction takes, and so short that one run, with the loading of its model, ends before RabbitMQ's 30 minutes for
 * an unacknowledged delivery. What waits behind it is the prefetch's concern (workers/scheduling/prefetch.ts).
 */
const TIMEOUT_MS_MAX = 20 * 60_000;

/** One in a hundred seconds: the few that a worker takes at once begin long before RabbitMQ's 30 minutes. */
const STARTS_PER_SECOND_MIN = 0.01;

/** Of messages of a kilobyte or so, as typed inputs are, some hundred megabytes in RabbitMQ; of more, the manifest should say less. */
const WAITING_DEFAULT = 100_000;

/** Whole numbers that JavaScript tells apart, written in one way only. */
export const VERSION_NAME = /^(0|[1-9]\d{0,14})$/;

const tensorNames = z.strictObject({
  fields: z
    .array(z.string().min(1))
    .min(1)
    .refine((names) => new Set(names).size === names.length, 'expected distinct names')
    .optional()
    .describe('names of the elements of the last dimension: the tensor becomes an object with these fields'),
  labels: z
    .array(z.string())
    .min(1)
    .optional()
    .describe('strings for the integers 0, 1, …: the tensor becomes strings (outputs only)'),
  ...mediaOptions,
});

/** Each is run in every inference process, one after another. */
const WARM_UPS_MAX = 100;

/** As ONNX Runtime names them, of all platforms. */
const EXECUTION_PROVIDERS = ['cpu', 'cuda', 'tensorrt', 'dml', 'coreml', 'webgpu'] as const;

/** What computes a model, and on which device where there are several. */
export interface ExecutionProvider {
  name: string;
  deviceId?: number | undefined;
}

const providerName = z.enum(EXECUTION_PROVIDERS);

const executionProvider: z.ZodType<ExecutionProvider> = z.union(
  [
    providerName.transform((name) => ({ name })),
    z.strictObject({ name: providerName, deviceId: z.int().min(0).optional() }),
  ],
  `expected one of ${EXECUTION_PROVIDERS.join(', ')}, or an object with such a name and a deviceId`,
);

/** What `models/<name>/model.json` may say; every key is optional, and so is the file. */
export const manifestSchema = z.strictObject({
  description: z.string().optional().describe('one sentence, shown in the schema and in `models`'),
  inputs: z.record(z.string(), tensorNames).default({}).describe('names and pictures, by input tensor'),
  outputs: z.record(z.string(), tensorNames).default({}).describe('names and labels, by output tensor'),
  defaultVersion: z
    .union([z.literal('latest'), z.string().regex(VERSION_NAME)], 'expected "latest" or a version, such as "2"')
    .default('latest')
    .describe('the version that runs if a submission pins none'),
  batched: z
    .boolean()
    .optional()
    .describe(
      'true: dimension 0 is the batch, and tasks share runs without a proof; false: it is not; default: an experiment decides',
    ),
  maxBatch: z.int().min(1).max(4096).default(64).describe('largest number of tasks that share a run'),
  maxDelayMs: z
    .number()
    .min(0)
    .max(10_000)
    .default(0)
    .describe('milliseconds that a task may wait for others to share its run'),
  timeoutMs: z.int().min(1).max(TIMEOUT_MS_MAX).default(600_000).describe('milliseconds that one run may take'),
  maxAttempts: z
    .int()
    .min(1)
    .max(20)
    .default(3)
    .describe('attempts for a task whose worker dies or whose run times out'),
  concurrency: z
    .int()
    .min(1)
    .max(1024)
    .optional()
    .describe('slots that it may use at once; default: all but one, at least 1'),
  maxStartsPerSecond: z
    .number()
    .min(STARTS_PER_SECOND_MIN)
    .max(100_000)
    .optional()
    .describe('tasks that may start per second on each worker; default: no limit'),
  executionProviders: z
    .array(executionProvider)
    .min(1)
    .default([{ name: 'cpu' }])
    .describe('what computes it, in order of preference; the first available one is used; default: cpu'),
  maxSizes: maxSizes
    .default({})
    .describe(
      'largest sizes of variable dimensions, by their names in the model or by place: { "sequence": 512, "x[1]": 9 }',
    ),
  maxWaiting: z
    .int()
    .min(1)
    .max(10_000_000)
    .default(WAITING_DEFAULT)
    .describe('largest number of waiting tasks; more are refused with QUEUE_FULL'),
  warmUp: z
    .array(z.record(z.string(), z.unknown()))
    .max(WARM_UPS_MAX)
    .default([])
    .describe('typed inputs that each inference process runs before it takes any work'),
  example: z.record(z.string(), z.unknown()).optional().describe('one typed input, shown in GraphiQL and at start'),
});

export type Manifest = z.infer<typeof manifestSchema>;

/** Each fault of a manifest beside the signature it belongs to, as `path: what was expected`. */
export function manifestFaults(manifest: Manifest, signature: Signature): string[] {
  return [
    ...namesFaults('inputs', manifest.inputs, signature.inputs, signature.batched),
    ...namesFaults('outputs', manifest.outputs, signature.outputs, signature.batched),
  ];
}

function namesFaults(
  side: Side,
  names: Record<string, TensorNames>,
  specs: readonly TensorSpec[],
  batched: boolean,
): string[] {
  return Object.entries(names).flatMap(([tensor, given]) => {
    const path = `${side}.${tensor}`;
    const spec = specs.find(({ name }) => name === tensor);
    if (!spec)
      return [`${path}: the model has no such tensor; expected one of ${specs.map(({ name }) => name).join(', ')}`];
    const row = batched ? (spec.shape?.slice(1) ?? null) : spec.shape;
    return [...elementFaults(side, given, spec, row), ...mediaFaults(side, given, spec, row)].map((at) => path + at);
  });
}

type Side = 'inputs' | 'outputs';
type Row = TensorSpec['shape'];

function elementFaults(side: Side, { fields, labels }: TensorNames, spec: TensorSpec, row: Row): string[] {
  const faults: string[] = [];
  if (fields && row?.at(-1) !== fields.length) {
    faults.push(`.fields: ${fields.length} names do not fit shape ${describeShape(spec.shape)}`);
  }
  if (labels && (side === 'inputs' || !STORAGE[spec.datatype].range)) {
    const got = side === 'inputs' ? 'an input' : spec.datatype;
    faults.push(`.labels: expected an output of an integer datatype, got ${got}`);
  }
  return faults;
}

function mediaFaults(side: Side, { fields, labels: _, ...media }: TensorNames, spec: TensorSpec, row: Row): string[] {
  const reader = mediaReader(media, { shape: row, datatype: spec.datatype });
  if (!reader) return [];
  if (side === 'outputs') return [': an output is not read from a file'];
  const faults = Array.isArray(reader) ? reader.map((fault) => `.${fault.path}: ${fault.message}`) : [];
  return fields ? ['.fields: an input that is read from a file has no named elements', ...faults] : faults;
}
