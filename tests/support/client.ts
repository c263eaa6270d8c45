import { createClient } from 'graphql-sse';

export interface GraphQLAnswer<T = Record<string, never>> {
  data?: T | null;
  errors?: {
    message: string;
    path?: (string | number)[];
    extensions: { code: string; issues?: { path: (string | number)[]; message: string }[] };
  }[];
}

/** What a client throws where it was answered with errors. */
export class AnsweredErrors extends Error {
  readonly codes: string[];

  constructor(errors: readonly { readonly extensions?: Record<string, unknown> }[] = []) {
    super(`unexpected errors: ${JSON.stringify(errors)}`);
    this.codes = errors.map(({ extensions }) => String(extensions?.['code']));
  }
}

/** What tests ask of a task. */
export interface TaskAnswer {
  id: string;
  state: string;
  attempts: number;
  queuedMs: number | null;
  runMs: number | null;
  batchSize: number | null;
  submittedAt: string;
  startedAt: string | null;
  completedAt: string | null;
  prediction: Record<string, unknown> | null;
  error: { code: string; message: string } | null;
}

export const TASK = `id state attempts queuedMs runMs batchSize submittedAt startedAt completedAt error { code message }
  prediction { __typename
    ... on IrisPrediction { label probabilities { setosa versicolor virginica } }
    ... on TensorsPrediction { outputs { name datatype shape floats ints longs booleans strings base64 } } }`;

/** A client of the API that knows only its URL: what anyone outside could do. */
export class Client {
  readonly url: string;
  readonly #headers: Record<string, string>;

  constructor(url: string, key?: string) {
    this.url = `${url}/graphql`;
    this.#headers = key === undefined ? {} : { authorization: `Bearer ${key}` };
  }

  async ask<T>(query: string, variables: Record<string, unknown> = {}): Promise<GraphQLAnswer<T>> {
    const response = await fetch(this.url, {
      method: 'POST',
      headers: { ...this.#headers, 'content-type': 'application/json' },
      body: JSON.stringify({ query, variables }),
    });
    return (await response.json()) as GraphQLAnswer<T>;
  }

  /** The data of an operation that must succeed. */
  async get<T>(query: string, variables: Record<string, unknown> = {}): Promise<T> {
    const { data, errors } = await this.ask<T>(query, variables);
    if (errors || !data) throw new AnsweredErrors(errors);
    return data;
  }

  async submit(input: unknown, options: Record<string, unknown> = {}): Promise<TaskAnswer> {
    const query = `mutation ($input: PredictionInput!, $options: SubmitOptions) { submitPrediction(input: $input, options: $options) { ${TASK} } }`;
    return (await this.get<{ submitPrediction: TaskAnswer }>(query, { input, options })).submitPrediction;
  }

  async submitAll(inputs: unknown[], options: Record<string, unknown> = {}): Promise<TaskAnswer[]> {
    const query = `mutation ($inputs: [PredictionInput!]!, $options: SubmitOptions) { submitPredictions(inputs: $inputs, options: $options) { ${TASK} } }`;
    return (await this.get<{ submitPredictions: TaskAnswer[] }>(query, { inputs, options })).submitPredictions;
  }

  async result(id: string): Promise<TaskAnswer | null> {
    return (await this.get<{ result: TaskAnswer | null }>(`query ($id: ID!) { result(id: $id) { ${TASK} } }`, { id }))
      .result;
  }

  async cancel(id: string): Promise<TaskAnswer> {
    const query = `mutation ($id: ID!) { cancelTask(id: $id) { ${TASK} } }`;
    return (await this.get<{ cancelTask: TaskAnswer }>(query, { id })).cancelTask;
  }

  completed(id: string): Promise<TaskAnswer[]> {
    return this.collect('taskCompleted', `subscription ($id: ID!) { taskCompleted(id: $id) { ${TASK} } }`, { id });
  }

  completions(ids: string[]): Promise<TaskAnswer[]> {
    return this.collect('tasksCompleted', `subscription ($ids: [ID!]!) { tasksCompleted(ids: $ids) { ${TASK} } }`, {
      ids,
    });
  }

  updates(id: string): Promise<TaskAnswer[]> {
    return this.collect('taskUpdated', `subscription ($id: ID!) { taskUpdated(id: $id) { ${TASK} } }`, { id });
  }

  /** Every event of a subscription up to its `complete`, through the graphql-sse client. */
  async collect(field: string, query: string, variables: Record<string, unknown>): Promise<TaskAnswer[]> {
    const events: TaskAnswer[] = [];
    for await (const task of this.stream(field, query, variables)) events.push(task);
    return events;
  }

  /** `connected` is called when the service has begun to answer; `signal` ends the stream early, without an error. */
  async *stream<T = TaskAnswer>(
    field: string,
    query: string,
    variables: Record<string, unknown>,
    { signal, connected }: { signal?: AbortSignal; connected?: () => void } = {},
  ): AsyncGenerator<T> {
    const client = createClient({ url: this.url, headers: this.#headers, retryAttempts: 0 });
    const dispose = () => client.dispose();
    signal?.addEventListener('abort', dispose);
    try {
      const on = connected === undefined ? {} : { connected };
      for await (const { data, errors } of client.iterate<Record<string, T>>({ query, variables }, on)) {
        const task = data?.[field];
        if (errors || !task) throw new AnsweredErrors(errors);
        yield task;
      }
    } finally {
      signal?.removeEventListener('abort', dispose);
      dispose();
    }
  }
}
