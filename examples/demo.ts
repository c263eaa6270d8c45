/**
 * One hundred tasks: `npm run demo`, beside a running `npm start`. Submits 100 flowers in one call, is told over one SSE
 * stream as each is done, and prints what came back; then the same synchronously, each call held until its answer is there.
 *
 *     FORETELL_URL   where the API is, default http://127.0.0.1:4000/graphql
 *     FORETELL_KEY   an API key, where the API asks for one
 */
import { createClient } from 'graphql-sse';

const TASKS = 100;
/** How many of them are shown one by one. */
const ROWS = 10;
// A bare address will do: http://127.0.0.1:4000
const url = new URL('/graphql', process.env.FORETELL_URL ?? 'http://127.0.0.1:4000').href;
const headers: Record<string, string> = process.env.FORETELL_KEY
  ? { authorization: `Bearer ${process.env.FORETELL_KEY}` }
  : {};

interface Task {
  id: string;
  state: string;
  queuedMs: number | null;
  runMs: number | null;
  batchSize: number | null;
  prediction: { label: string } | null;
}

const FIELDS = 'id state queuedMs runMs batchSize prediction { __typename ... on IrisPrediction { label } }';

/** A flower somewhere between the smallest and the largest that Anderson measured in 1935. */
function flower() {
  const between = (low: number, high: number) => Number((low + Math.random() * (high - low)).toFixed(1));
  return {
    sepalLengthCm: between(4.3, 7.9),
    sepalWidthCm: between(2, 4.4),
    petalLengthCm: between(1, 6.9),
    petalWidthCm: between(0.1, 2.5),
  };
}

/** One query or mutation over plain HTTP. */
async function call<T>(query: string, variables: Record<string, unknown>): Promise<T> {
  const response = await fetch(url, {
    method: 'POST',
    headers: { ...headers, 'content-type': 'application/json' },
    body: JSON.stringify({ query, variables }),
  });
  const { data, errors } = (await response.json()) as { data?: T; errors?: { message: string }[] };
  if (errors || !data) throw new Error(errors?.map(({ message }) => message).join('; ') ?? `HTTP ${response.status}`);
  return data;
}

async function asynchronous(): Promise<Task[]> {
  const started = performance.now();
  const { submitPredictions } = await call<{ submitPredictions: { id: string }[] }>(
    'mutation ($inputs: [PredictionInput!]!) { submitPredictions(inputs: $inputs) { id } }',
    { inputs: Array.from({ length: TASKS }, () => ({ iris: flower() })) },
  );
  const ids = submitPredictions.map(({ id }) => id);
  console.log(
    `Asynchronous: ${ids.length} tasks accepted in ${since(started)}, told over one SSE stream as each is done.`,
  );

  const client = createClient({ url, headers });
  const done: Task[] = [];
  const events = client.iterate<{ tasksCompleted: Task }>({
    query: `subscription ($ids: [ID!]!) { tasksCompleted(ids: $ids) { ${FIELDS} } }`,
    variables: { ids },
  });
  for await (const { data, errors } of events) {
    if (errors || !data) throw new Error(errors?.map(({ message }) => message).join('; ') ?? 'no data');
    done.push(data.tasksCompleted);
    progress(done.length);
  }
  client.dispose();
  console.log(`All told after ${since(started)}.`);
  return done;
}

async function synchronous(): Promise<Task[]> {
  const started = performance.now();
  console.log('\nSynchronous: one call a task, each held until its answer is there.');
  let done = 0;
  const tasks = await Promise.all(
    Array.from({ length: TASKS }, async () => {
      const { submitPrediction } = await call<{ submitPrediction: Task }>(
        `mutation ($input: PredictionInput!) { submitPrediction(input: $input, options: { waitMs: 10000 }) { ${FIELDS} } }`,
        { input: { iris: flower() } },
      );
      progress(++done);
      return submitPrediction;
    }),
  );
  console.log(`All answered after ${since(started)}.`);
  return tasks;
}

/** A bar on a terminal; nothing where the output is a file. */
function progress(done: number): void {
  if (!process.stdout.isTTY) return;
  const filled = Math.round((done / TASKS) * 40);
  process.stdout.write(
    `\r  ${'█'.repeat(filled)}${'░'.repeat(40 - filled)} ${done}/${TASKS}${done === TASKS ? '\n' : ''}`,
  );
}

/** The first of them one by one, then all of them together. */
function report(tasks: Task[]): void {
  row('task', 'label', 'queued ms', 'run ms', 'batch');
  for (const { id, state, prediction, queuedMs, runMs, batchSize } of tasks.slice(0, ROWS)) {
    row(id.slice(0, 8), prediction?.label ?? state, queuedMs?.toFixed(1), runMs?.toFixed(2), batchSize);
  }
  if (tasks.length > ROWS) console.log(`  … and ${tasks.length - ROWS} more; by label:`);
  summary(tasks);
}

function row(id: string, label: string, ...numbers: (string | number | null | undefined)[]): void {
  const cells = numbers.map((cell) => String(cell ?? '–').padStart(10));
  console.log(`  ${id.padEnd(10)}${label.padEnd(12)}${cells.join('')}`);
}

function summary(tasks: Task[]): void {
  const labels = Object.groupBy(tasks, ({ state, prediction }) => prediction?.label ?? state);
  for (const [label, members] of Object.entries(labels).sort()) {
    console.log(
      `  ${label.padEnd(12)} ${String(members?.length ?? 0).padStart(4)}  ${'▪'.repeat(members?.length ?? 0)}`,
    );
  }
  const batches = [...new Set(tasks.map(({ batchSize }) => batchSize ?? 0))].sort((a, b) => a - b);
  console.log(`  mean time in the queue   ${mean(tasks, 'queuedMs')} ms`);
  console.log(`  mean time in the model   ${mean(tasks, 'runMs')} ms, of a whole batch`);
  console.log(`  mean batch               ${mean(tasks, 'batchSize')} tasks (sizes: ${batches.join(', ')})`);
}

function mean(tasks: Task[], key: 'queuedMs' | 'runMs' | 'batchSize'): string {
  return (tasks.reduce((sum, task) => sum + (task[key] ?? 0), 0) / tasks.length).toFixed(1);
}

function since(started: number): string {
  return `${Math.round(performance.now() - started)} ms`;
}

try {
  const told = await asynchronous();
  report(told);
  const answered = await synchronous();
  report(answered);
  const lost = [...told, ...answered].filter(({ state }) => state !== 'SUCCEEDED').length + (TASKS - told.length);
  if (lost > 0) throw new Error(`${lost} tasks did not succeed`);
} catch (error) {
  const { message, cause } = error as Error;
  const why = cause instanceof Error ? `${message}: ${cause.message}` : message;
  console.error(why.includes('ECONNREFUSED') ? `Nothing listens at ${url}. Run \`npm start\` first.` : `demo: ${why}`);
  process.exitCode = 1;
}
