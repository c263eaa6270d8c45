import type { Client } from './client.ts';

const WAIT_MS = 20_000;

export interface TypedAnswer<P> {
  state: string;
  batchSize: number | null;
  error: { code: string } | null;
  prediction: P;
}

/** Predictions of one model by the typed API, with these fields of each. */
export async function predictTyped<P>(
  client: Client,
  model: string,
  inputs: unknown[],
  fields: string,
): Promise<TypedAnswer<P>[]> {
  const typename = `${model.charAt(0).toUpperCase()}${model.slice(1)}Prediction`;
  const query = `mutation ($inputs: [PredictionInput!]!) { submitPredictions(inputs: $inputs, options: { waitMs: ${WAIT_MS} }) {
    state batchSize error { code } prediction { ... on ${typename} { ${fields} } } } }`;
  const variables = { inputs: inputs.map((input) => ({ [model]: input })) };
  return (await client.get<{ submitPredictions: TypedAnswer<P>[] }>(query, variables)).submitPredictions;
}

export interface OutputTensor {
  name: string;
  shape: number[];
  floats: number[] | null;
  strings: string[] | null;
  base64: string | null;
}

/** The outputs of one prediction by the tensors API. */
export async function predictByTensors(
  client: Client,
  model: string,
  inputs: unknown[],
  version?: string,
): Promise<OutputTensor[]> {
  const query = `mutation ($input: PredictionInput!, $options: SubmitOptions) { submitPrediction(input: $input, options: $options) {
    prediction { ... on TensorsPrediction { outputs { name shape floats strings base64 } } } } }`;
  const options = { waitMs: WAIT_MS, ...(version !== undefined && { version }) };
  const data = await client.get<{ submitPrediction: { prediction: { outputs: OutputTensor[] } } }>(query, {
    input: { tensors: { model, inputs } },
    options,
  });
  return data.submitPrediction.prediction.outputs;
}
