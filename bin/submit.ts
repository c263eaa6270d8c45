import { readFile } from 'node:fs/promises';
import { text } from 'node:stream/consumers';
import { z } from 'zod';
import { messageOf } from '../src/errors.ts';
import { isTerminal } from '../src/task/task.ts';
import { type Command, type Given, print, UsageError } from './command.ts';
import { follow, OUTCOME_EXIT, OUTCOME_NOTE, TASK_FIELDS, type TaskAnswer, taskSchema } from './followed-task.ts';
import { FIELDS_OPTION, lineOf, withPrediction } from './prediction.ts';
import { ask, SERVER_OPTIONS, type Server, serverOf } from './server.ts';

export const submitCommand: Command = {
  name: 'submit',
  operand: '[INPUT]',
  purpose: 'Submits one prediction to a running server, and prints its task as a line of JSON',
  options: {
    file: { value: 'FILE', purpose: 'file that holds INPUT; default: standard input' },
    tensors: {
      purpose: 'INPUT is a TensorsInput, { "model": NAME, "inputs": [{ "name", "datatype", "shape", "data" }] }',
    },
    wait: { purpose: 'wait until the task is terminal, and print it with its prediction' },
    fields: FIELDS_OPTION,
    'model-version': { value: 'VERSION', purpose: 'run this version instead of the default one' },
    priority: { value: 'PRIORITY', purpose: 'NORMAL or HIGH' },
    'expires-in-ms': {
      value: 'MS',
      purpose: 'end the task as EXPIRED if it has not started after this many milliseconds',
    },
    'idempotency-key': { value: 'KEY', purpose: 'submit once: the same key returns the same task' },
    ...SERVER_OPTIONS,
  },
  notes: `INPUT is a PredictionInput as JSON: the name of a model and its typed input:

  foretell submit --wait '{ "iris": { "sepalLengthCm": 5.1, "sepalWidthCm": 3.5, "petalLengthCm": 1.4, "petalWidthCm": 0.2 } }'

With --wait, ${OUTCOME_NOTE.charAt(0).toLowerCase()}${OUTCOME_NOTE.slice(1)}
Without it, 0 once the server has confirmed the task.`,
  async run(given) {
    const server = serverOf(given);
    const options = optionsOf(given);
    const input = await inputOf(given);
    const { submitPrediction } = await ask(server, answerSchema, MUTATION, { input, options });
    const ended = given.flags.has('wait') && (await endOf(server, submitPrediction));
    const task = ended ? await withPrediction(server, ended, given.values['fields']) : submitPrediction;
    print(lineOf(task));
    return ended ? OUTCOME_EXIT[ended.state] : 0;
  },
};

const answerSchema = z.object({ submitPrediction: taskSchema });
const MUTATION = `mutation ($input: PredictionInput!, $options: SubmitOptions) {
  submitPrediction(input: $input, options: $options) { ${TASK_FIELDS} }
}`;

/** Options that were not given are not sent: null would be a value. */
function optionsOf({ values }: Given): Record<string, unknown> {
  const options = {
    version: values['model-version'],
    priority: values['priority'],
    expiresInMs: wholeNumber('--expires-in-ms', values['expires-in-ms']),
    idempotencyKey: values['idempotency-key'],
  };
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
}

function wholeNumber(name: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (!/^\d{1,15}$/.test(text)) throw new UsageError(`${name}: expected a whole number, got "${text}"`);
  return Number(text);
}

async function inputOf(given: Given): Promise<unknown> {
  const input = parsed(await sourceOf(given));
  return given.flags.has('tensors') ? { tensors: input } : input;
}

async function sourceOf({ operand, values: { file } }: Given): Promise<{ name: string; json: string }> {
  if (operand !== undefined && file !== undefined) throw new UsageError('expected INPUT or --file, got both');
  if (operand !== undefined) return { name: 'INPUT', json: operand };
  if (file !== undefined) {
    const json = await readFile(file, 'utf8').catch((error: unknown) => {
      throw new UsageError(`--file: ${messageOf(error)}`);
    });
    return { name: file, json };
  }
  if (process.stdin.isTTY) throw new UsageError('expected INPUT, --file, or JSON on standard input');
  return { name: 'standard input', json: await text(process.stdin) };
}

function parsed({ name, json }: { name: string; json: string }): unknown {
  try {
    return JSON.parse(json);
  } catch (error) {
    const expected = 'expected JSON, such as \'{ "iris": { "sepalLengthCm": 5.1, … } }\'';
    // People try the name of a file or a model first.
    const isWord = name === 'INPUT' && !/[{[\s]/.test(json);
    if (isWord) throw new UsageError(`${name}: ${expected}, got "${json}"; to read it from a file: --file ${json}`);
    throw new UsageError(`${name}: ${expected}: ${messageOf(error)}`);
  }
}

async function endOf(server: Server, submitted: TaskAnswer): Promise<TaskAnswer> {
  let task = submitted;
  if (isTerminal(task.state)) return task;
  for await (const update of follow(server, task.id, task)) task = update;
  return task;
}
