import { createHash } from 'node:crypto';
import type { ServedModel, Signature } from '../../src/models/served-model.ts';
import type { Datatype, TensorSpec } from '../../src/tensor/tensor.ts';

export function spec(name: string, datatype: Datatype, shape: TensorSpec['shape']): TensorSpec {
  return { name, datatype, shape };
}

/** A model as it would be registered, without a file behind it. */
export function servedModel(name: string, signature: Signature, more: Partial<ServedModel> = {}): ServedModel {
  return {
    name,
    version: '1',
    digest: createHash('sha256').update(name).digest('hex'),
    signature,
    names: { inputs: {}, outputs: {} },
    maxBatch: signature.batched ? 64 : 1,
    maxWaiting: 100_000,
    ...more,
  };
}

/** The shipped iris model's registration. */
export const IRIS = servedModel(
  'iris',
  {
    inputs: [spec('features', 'FP32', [null, 4])],
    outputs: [spec('label', 'INT64', [null]), spec('probabilities', 'FP32', [null, 3])],
    batched: true,
  },
  {
    names: {
      inputs: { features: { fields: ['sepalLengthCm', 'sepalWidthCm', 'petalLengthCm', 'petalWidthCm'] } },
      outputs: {
        label: { labels: ['setosa', 'versicolor', 'virginica'] },
        probabilities: { fields: ['setosa', 'versicolor', 'virginica'] },
      },
    },
  },
);

export const FLOWER = { sepalLengthCm: 5.1, sepalWidthCm: 3.5, petalLengthCm: 1.4, petalWidthCm: 0.2 };
