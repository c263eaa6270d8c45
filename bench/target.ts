import { createHttpClient } from './http-client.ts';

/** What is loaded: Foretell, or the same work done without it. */
export interface Target {
  /** Submits so many predictions in one call; their ids. */
  submit(count: number): Promise<string[]>;
  /** Resolves when all are known to be done, with the moment at which each was told. */
  completed(ids: readonly string[], onOpen?: () => void): Promise<number[]>;
  close(): void;
}

const flower = () => {
  const between = (least: number, most: number) => least + (most - least) * Math.random();
  return [between(4, 8), between(2, 4), between(1, 6), between(0, 2.5)];
};

function iris(): unknown {
  const [sepalLengthCm, sepalWidthCm, petalLengthCm, petalWidthCm] = flower();
  return { iris: { sepalLengthCm, sepalWidthCm, petalLengthCm, petalWidthCm } };
}

const SUBMIT = 'mutation ($input: PredictionInput!) { submitPrediction(input: $input) { id } }';
const SUBMIT_ALL = 'mutation ($inputs: [PredictionInput!]!) { submitPredictions(inputs: $inputs) { id } }';
const IRIS = 'prediction { ... on IrisPrediction { label probabilities { setosa versicolor virginica } } }';

/** Calls that do not count. */
const WARM_UP = 200;

interface Answer<T> {
  data: T;
  errors?: unknown[];
}

/** Any model's predictions, `iris` unless an input is given. */
export function foretellTarget(url: string, inputOf?: () => unknown): Target {
  const newInput = inputOf ?? iris;
  const done = `{ id state ${inputOf ? 'prediction { __typename }' : IRIS} }`;
  const one = `subscription ($id: ID!) { taskCompleted(id: $id) ${done} }`;
  const all = `subscription ($ids: [ID!]!) { tasksCompleted(ids: $ids) ${done} }`;
  const client = createHttpClient(url);
  const ask = async <T>(query: string, variables: unknown): Promise<T> => {
    const { data, errors } = await client.post<Answer<T>>('/graphql', { query, variables });
    if (errors) throw new Error(JSON.stringify(errors));
    return data;
  };
  return {
    async submit(count) {
      if (count === 1) {
        const { submitPrediction } = await ask<{ submitPrediction: { id: string } }>(SUBMIT, { input: newInput() });
        return [submitPrediction.id];
      }
      const inputs = Array.from({ length: count }, newInput);
      const { submitPredictions } = await ask<{ submitPredictions: { id: string }[] }>(SUBMIT_ALL, { inputs });
      return submitPredictions.map(({ id }) => id);
    },
    completed: (ids, onOpen) =>
      ids.length === 1
        ? client.stream('/graphql', { query: one, variables: { id: ids[0] } }, onOpen)
        : client.stream('/graphql', { query: all, variables: { ids } }, onOpen),
    close: client.close,
  };
}

/** Milliseconds from each submit to its pushed result, one after the other, as a client that waits for each would have it. */
export async function sequentialMs(target: Target, calls: number): Promise<number[]> {
  const ms: number[] = [];
  for (let i = 0; i < WARM_UP + calls; i += 1) {
    const begun = performance.now();
    await target.completed(await target.submit(1));
    if (i >= WARM_UP) ms.push(performance.now() - begun);
  }
  return ms;
}

export function floorTarget(url: string): Target {
  const client = createHttpClient(url);
  return {
    submit: (count) => client.post<string[]>('/submit', Array.from({ length: count }, flower)),
    completed: (ids, onOpen) => client.stream('/completed', ids, onOpen),
    close: client.close,
  };
}
