import { bytesOf } from '../../src/tensor/tensor.ts';
import type { Due, Output } from './checker.ts';
import type { ModelFixture } from './model-files.ts';
import { FOR_EVER, quotient, slow, squares } from './onnx-models.ts';

/** What a client submits, and what has to become of it. */
export interface Sample extends Due {
  input: unknown;
}

const MAX_BATCH = 16;

/** Models whose every answer is known. */
export const KNOWN_MODELS: Record<string, ModelFixture> = {
  slow: { onnx: slow(), manifest: { maxBatch: MAX_BATCH } },
  squares: { onnx: squares(), manifest: { maxBatch: MAX_BATCH } },
};

/** Models that do well by most of what they are given; what they do not survive is poison. */
export const POISONABLE_MODELS: Record<string, ModelFixture> = {
  hangs: { onnx: slow(), manifest: { maxBatch: MAX_BATCH, timeoutMs: 500, maxAttempts: 2 } },
  crashes: { onnx: quotient(), manifest: { maxBatch: MAX_BATCH, maxAttempts: 2 } },
};

/** `y = rounds`, after about as many microseconds; a batch takes as long as the longest in it. */
export function slowSample(rounds: number, model = 'slow'): Sample {
  return { input: int64Input(model, { rounds: BigInt(rounds) }), outputs: [int64Output(BigInt(rounds))] };
}

/** `y = x²`, `x` from 0 to 9. */
export function squaresSample(x: number): Sample {
  return {
    input: int64Input('squares', { x: BigInt(x) }),
    outputs: [{ name: 'y', datatype: 'FP32', shape: [1], base64: base64(Float32Array.of(x * x)) }],
  };
}

/** `y = x / d`, rounded towards 0. */
export function quotientSample(x: bigint, d: bigint): Sample {
  return { input: int64Input('crashes', { x, d }), outputs: [int64Output(x / d)] };
}

/** A run of many years. */
export function hangingSample(): Sample {
  return { input: int64Input('hangs', { rounds: BigInt(FOR_EVER) }), outputs: [], states: ['FAILED'] };
}

/** The one quotient that does not fit its datatype: the processor (x86) raises an exception that ends the process by SIGFPE. */
export function crashingSample(): Sample {
  return { input: int64Input('crashes', { x: -(2n ** 63n), d: -1n }), outputs: [], states: ['FAILED'] };
}

function int64Input(model: string, values: Record<string, bigint>) {
  const inputs = Object.entries(values).map(([name, element]) => {
    return { name, datatype: 'INT64', shape: [1], data: { longs: [String(element)] } };
  });
  return { tensors: { model, inputs } };
}

function int64Output(element: bigint): Output {
  return { name: 'y', datatype: 'INT64', shape: [1], base64: base64(BigInt64Array.of(element)) };
}

function base64(elements: Float32Array | BigInt64Array): string {
  return Buffer.from(bytesOf(elements)).toString('base64');
}
