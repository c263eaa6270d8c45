import type { TypedField } from '../../../models/typed-api.ts';
import type { ModelTypes } from '../schema/model-types.ts';

/** An operation that can be run as it stands, or with an id pasted in. */
export interface Example {
  query: string;
  variables: Record<string, unknown>;
}

/** An example should be read at a glance; a picture's 784 numbers are none. */
const ELEMENTS_MAX = 64;
const WAIT_MS = 5_000;

/** The served model whose example is the shortest; `undefined` if none has a typed input that can be shown. */
function pickModel(models: readonly ModelTypes[]): { types: ModelTypes; input: unknown } | undefined {
  const candidates = models.flatMap((types) => {
    if (!types.isServed) return [];
    const input = types.model.example ?? zeros(types);
    return input === undefined ? [] : [{ types, input, length: JSON.stringify(input).length }];
  });
  return candidates.sort((a, b) => a.length - b.length)[0];
}

/** A synchronous submission of one model's example. */
export function synchronousExample(models: readonly ModelTypes[]): Example {
  const picked = pickModel(models);
  if (!picked) return { query: '{ models { id name version inputs { name datatype shape } } }', variables: {} };
  const { types, input } = picked;
  return {
    query: `# Holds the answer until the prediction is there.
mutation Predict($input: PredictionInput!) {
  submitPrediction(
    input: $input
    options: { waitMs: ${WAIT_MS} }
  ) {
    id
    state
    ${predictionSelection(types)}
    queuedMs
    runMs
  }
}`,
    variables: { input: { [types.field]: input } },
  };
}

/** What GraphiQL opens with: one operation a tab. */
export function graphiqlTabs(models: readonly ModelTypes[]): Example[] {
  const synchronous = synchronousExample(models);
  const picked = pickModel(models);
  if (!picked) return [synchronous];
  const selection = predictionSelection(picked.types);
  // One word, so that a double click selects it.
  const id = 'PASTE_THE_ID_HERE';
  return [
    synchronous,
    {
      query: `# 1. Answers at once. Copy the id.
mutation Submit($input: PredictionInput!) {
  submitPrediction(input: $input) {
    id
    state
  }
}`,
      variables: synchronous.variables,
    },
    {
      query: `# 2. Tells when it is done. Paste the id below.
subscription Completed($id: ID!) {
  taskCompleted(id: $id) {
    id
    state
    ${selection}
    error { code message }
    batchSize
  }
}`,
      variables: { id },
    },
    {
      query: `# 3. Reads it later. Paste the id below.
query Result($id: ID!) {
  result(id: $id) {
    id
    state
    ${selection}
    attempts
    submittedAt
    completedAt
  }
}`,
      variables: { id },
    },
  ];
}

/** `prediction { … }` with every field that the model's type has, inside an operation's field. */
function predictionSelection({ typedApi, typename }: ModelTypes): string {
  const names = typedApi.outputs.map(({ name, shape, elements }) => {
    if (shape === null) return `${name} { datatype shape base64 }`;
    return elements ? `${name} { ${elements.join(' ')} }` : name;
  });
  const [sole] = typedApi.outputs;
  const fields = typedApi.flatOutput && sole?.elements ? sole.elements : names;
  return `prediction {
      __typename
      ... on ${typename} {
        ${fields.join('\n        ')}
      }
    }`;
}

/** An input of zeros for a model whose manifest has no example; `undefined` if it would be long. */
function zeros({ typedApi }: ModelTypes): unknown {
  const counts = typedApi.inputs.map(({ shape }) => (shape ?? []).reduce<number>((count, n) => count * (n ?? 1), 1));
  if (counts.reduce((sum, count) => sum + count, 0) > ELEMENTS_MAX) return undefined;
  const values = typedApi.inputs.map((field) => [field.name, zeroOf(field, field.shape ?? [])] as const);
  return typedApi.flatInput ? values[0]?.[1] : Object.fromEntries(values);
}

function zeroOf(field: TypedField, shape: readonly (number | null)[]): unknown {
  const [length, ...inner] = shape;
  if (length === undefined) return { float: 0, int: 0, long: '0', boolean: false, string: 'text' }[field.kind];
  if (inner.length === 0 && field.elements)
    return Object.fromEntries(field.elements.map((name) => [name, zeroOf(field, [])]));
  return Array.from({ length: length ?? 1 }, () => zeroOf(field, inner));
}
