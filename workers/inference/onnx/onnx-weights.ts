import { stat } from 'node:fs/promises';
import { dirname, isAbsolute, join, normalize } from 'node:path';
import { type Field, fieldsOf, type Read, readModel, textIn } from './onnx-fields.ts';

type Message = 'model' | 'graph' | 'function' | 'node' | 'attribute' | 'sparse' | 'tensor';

/** Of each message of onnx.proto, the numbers of the fields that lead to tensors, and the message that each of them is. */
const LEADS: Record<Message, Record<number, Message>> = {
  model: { 7: 'graph', 25: 'function' },
  graph: { 1: 'node', 5: 'tensor', 15: 'sparse' },
  function: { 7: 'node', 11: 'attribute' },
  node: { 5: 'attribute' },
  attribute: { 5: 'tensor', 6: 'graph', 10: 'tensor', 11: 'graph', 22: 'sparse', 23: 'sparse' },
  sparse: { 1: 'tensor', 2: 'tensor' },
  tensor: {},
};
const TENSOR_EXTERNAL_DATA = 13;
const ENTRY = { KEY: 1, VALUE: 2 };

/** Graphs within graphs: If within Loop within If is three. */
const DEPTH_MAX = 64;

/**
 * The files beside an ONNX file that hold its weights, as it names them, wherever in it: in subgraphs of If, Loop and Scan, in attributes, in
 * functions, in sparse tensors. None where it holds them itself. Throws where the file is no protocol buffers message.
 */
export function externalFiles(file: string): string[] {
  return readModel(file, (read, model) => [...new Set(locationsIn(read, 'model', model, 0))]);
}

function* locationsIn(read: Read, message: Message, field: Field, graphs: number): Generator<string> {
  if (message === 'tensor') yield* locationsOf(read, field);
  const within = message === 'graph' ? graphs + 1 : graphs;
  if (within > DEPTH_MAX) throw new Error(`expected at most ${DEPTH_MAX} graphs within each other`);
  for (const inner of fieldsOf(read, field, ...Object.keys(LEADS[message]).map(Number))) {
    const next = LEADS[message][inner.number];
    if (next) yield* locationsIn(read, next, inner, within);
  }
}

function* locationsOf(read: Read, tensor: Field): Generator<string> {
  for (const entry of fieldsOf(read, tensor, TENSOR_EXTERNAL_DATA)) {
    if (!fieldsOf(read, entry, ENTRY.KEY).some((key) => textIn(read, key) === 'location')) continue;
    for (const value of fieldsOf(read, entry, ENTRY.VALUE)) yield textIn(read, value);
  }
}

/** Bytes of a model's file, and of those beside it that hold its weights. Throws where weights lie elsewhere. */
export async function sizeOf(file: string): Promise<number> {
  const weights = externalFilesOf(file);
  requireWeightsBelow(weights);
  const paths = [file, ...weights.map((name) => join(dirname(file), name))];
  const sizes = await Promise.all(paths.map((path) => stat(path).then(({ size }) => size)));
  return sizes.reduce((sum, size) => sum + size, 0);
}

/** What is wrong with the file is for ONNX Runtime to say. */
function externalFilesOf(file: string): string[] {
  try {
    return externalFiles(file);
  } catch {
    return [];
  }
}

/** Throws where weights lie elsewhere than beside or below the file, which is all that is served of a version. */
export function requireWeightsBelow(locations: readonly string[]): void {
  const elsewhere = locations.find((location) => !isBelow(location));
  if (elsewhere === undefined) return;
  throw new Error(
    `its weights are in "${elsewhere}"; expected files beside or below the model file (onnx.save_model(model, file, save_as_external_data=True, location="weights.bin") writes them there)`,
  );
}

/** A folder that begins with a dot is none of a version's. */
function isBelow(location: string): boolean {
  const parts = normalize(location).split(/[/\\]/);
  const name = parts.pop() ?? '';
  const isFile = !['', '.', '..'].includes(name) && !/^[A-Za-z]:/.test(location);
  return isFile && !isAbsolute(location) && !parts.some((folder) => folder.startsWith('.'));
}
