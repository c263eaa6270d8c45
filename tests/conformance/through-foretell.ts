import { copyFile, mkdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import type { Datatype } from '../../src/tensor/tensor.ts';
import type { Client } from '../support/client.ts';
import { isClose, type PassedTest, type Tolerance } from './onnx-tests.ts';

const SUBMIT = `mutation ($input: PredictionInput!) { submitPrediction(input: $input, options: { waitMs: 30000 }) {
  state error { code message } prediction { ... on TensorsPrediction { outputs { name datatype shape base64 strings } } } } }`;

interface Answer {
  submitPrediction: {
    state: string;
    error: { code: string; message: string } | null;
    prediction: {
      outputs: { name: string; datatype: Datatype; shape: number[]; base64: string | null; strings: string[] | null }[];
    } | null;
  };
}

/** Puts each test's model where a worker looks, under the test's name. */
export async function writeModels(directory: string, tests: readonly PassedTest[]): Promise<void> {
  for (const { name, file } of tests) {
    const copy = join(directory, name, '1', 'model.onnx');
    await mkdir(dirname(copy), { recursive: true });
    await copyFile(file, copy);
  }
}

/** Sums are taken in another order where memory lies otherwise. */
const ROUNDING: Tolerance = { absolute: 1e-6, relative: 1e-5 };

/**
 * How the outputs by the tensors API compare with those of the direct run: the same bit for bit, the same but for the rounding of
 * the last digits, or what is otherwise.
 */
export async function compareOutputs(
  client: Client,
  test: PassedTest,
  inputNames: readonly string[],
): Promise<'same' | 'rounding' | (string & {})> {
  const inputs = test.inputs.map(({ datatype, shape, data }, i) => {
    const said = Array.isArray(data) ? { strings: data } : { base64: Buffer.from(data).toString('base64') };
    return { name: inputNames[i], datatype, shape, data: said };
  });
  const { data, errors } = await client.ask<Answer>(SUBMIT, { input: { tensors: { model: test.name, inputs } } });
  if (!data) return `refused: ${errors?.[0]?.message}`;
  const { state, error, prediction } = data.submitPrediction;
  if (state !== 'SUCCEEDED' || !prediction) return `${state}: ${error?.code} ${error?.message}`;
  const found = prediction.outputs.map(({ name, datatype, shape, base64, strings }) => ({
    ...{ name, datatype, shape },
    data: strings ?? Buffer.from(base64 ?? '', 'base64'),
  }));
  if (isDeepStrictEqual(found, test.outputs)) return 'same';
  const isAlike =
    found.length === test.outputs.length && test.outputs.every((output, i) => isClose(output, found[i], ROUNDING));
  return isAlike ? 'rounding' : 'other outputs';
}
