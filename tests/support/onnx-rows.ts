import type { Datatype } from '../../src/tensor/tensor.ts';
import { type OnnxNode, type OnnxValue, onnxModel, value } from './onnx.ts';

type Shape = NonNullable<OnnxValue['shape']>;

export interface Rows {
  nodes: OnnxNode[];
  initializers?: Parameters<typeof onnxModel>[0]['initializers'];
  datatype?: Datatype;
  shape?: Shape;
  outputs?: OnnxValue[];
}

/** `y` of `x`, FP32 `[batch, 4]` both unless told otherwise. */
export function rows({ nodes, initializers = [], datatype = 'FP32', shape = ['batch', 4], outputs }: Rows): Buffer {
  return onnxModel({
    inputs: [value('x', datatype, shape)],
    outputs: outputs ?? [value('y', datatype, shape)],
    nodes,
    initializers,
  });
}

export const op = (
  name: string,
  inputs: string,
  outputs: string,
  attributes: OnnxNode['attributes'] = {},
): OnnxNode => ({
  op: name,
  inputs: inputs.split(' '),
  outputs: outputs.split(' '),
  attributes,
});
