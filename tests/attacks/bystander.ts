// B, in a process of its own, so that what the attacker computes does not count as B's wait: submits steadily, whatever became of the
// tasks before, and watches each over a stream of its own. Prints a line of JSON for each task that ended, and ends with its standard input.
import { createClient } from 'graphql-sse';
import { BYSTANDER_INPUTS, type BystanderInput, type Observation } from './observation.ts';

const [url = '', key = '', kind = 'iris', everyMs = '150'] = process.argv.slice(2);

/** A task that has not come to an end after this long is as good as lost. */
const GIVEN_UP_MS = 150_000;

// Each request on a connection of its own: a client that comes new has to get in as well.
const headers = { authorization: `Bearer ${key}`, connection: 'close' };
const client = createClient({ url, headers, retryAttempts: 100 });
const SUBMIT = 'mutation ($input: PredictionInput!) { submitPrediction(input: $input) { id } }';
const WATCH = 'subscription ($id: ID!) { taskCompleted(id: $id) { id state error { code message } } }';

interface Ended {
  state: string;
  error: { code: string; message: string } | null;
}

async function submit(input: unknown): Promise<{ id?: string; refused?: string }> {
  const body = JSON.stringify({ query: SUBMIT, variables: { input } });
  const response = await fetch(url, {
    method: 'POST',
    headers: { ...headers, 'content-type': 'application/json' },
    body,
  });
  const { data, errors } = (await response.json()) as {
    data?: { submitPrediction: { id: string } } | null;
    errors?: { message: string; extensions?: { code?: string } }[];
  };
  if (data) return { id: data.submitPrediction.id };
  return { refused: `${response.status} ${errors?.[0]?.extensions?.code}: ${errors?.[0]?.message}` };
}

async function watch(id: string): Promise<Ended | undefined> {
  for await (const { data } of client.iterate<{ taskCompleted: Ended }>({ query: WATCH, variables: { id } })) {
    if (data?.taskCompleted) return data.taskCompleted;
  }
  return undefined;
}

async function observe(input: unknown): Promise<Observation> {
  const startedAt = performance.now();
  const ms = () => Math.round(performance.now() - startedAt);
  try {
    const { id, refused } = await submit(input);
    if (id === undefined) return { ms: ms(), refused: refused ?? '' };
    const ended = await watch(id);
    if (ended?.state === 'SUCCEEDED') return { ms: ms() };
    return { ms: ms(), failed: ended ? `${ended.state} ${ended.error?.code}: ${ended.error?.message}` : 'no event' };
  } catch (error) {
    return { ms: ms(), failed: String(error) };
  }
}

async function observeInTime(input: unknown): Promise<Observation> {
  const late = new Promise<Observation>((resolve) =>
    setTimeout(() => resolve({ ms: GIVEN_UP_MS, failed: 'given up' }), GIVEN_UP_MS).unref(),
  );
  return Promise.race([observe(input), late]);
}

const makeInput = BYSTANDER_INPUTS[kind as BystanderInput];
const open = new Set<Promise<void>>();
const timer = setInterval(() => {
  const one = observeInTime(makeInput()).then((observation) => {
    process.stdout.write(`${JSON.stringify(observation)}\n`);
    open.delete(one);
  });
  open.add(one);
}, Number(everyMs));

process.stdin.resume().once('end', async () => {
  clearInterval(timer);
  await Promise.all(open);
  process.exit(0);
});
