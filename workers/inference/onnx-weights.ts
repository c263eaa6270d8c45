import { isAbsolute, normalize } from 'node:path';
import { type Field, fieldsOf, type Read, readGraph, textIn } from './onnx-fields.ts';

/** Field numbers of onnx.proto. Each list names the fields of a message that lead to further tensors. */
const GRAPH = { NODE: 1, INITIALIZER: 5, SPARSE_INITIALIZER: 15 };
const NODE_ATTRIBUTE = 5;
const ATTRIBUTE = { TENSOR: 5, GRAPH: 6, TENSORS: 10, GRAPHS: 11, SPARSE: 22, SPARSES: 23 };
const SPARSE = { VALUES: 1, INDICES: 2 };
const FUNCTION = { NODE: 7, ATTRIBUTE: 11 };
const MODEL_FUNCTION = 25;
const TENSOR_EXTERNAL_DATA = 13;
const ENTRY = { KEY: 1, VALUE: 2 };

/** Graphs within graphs: If within Loop within If is three. */
const DEPTH_MAX = 64;

/**
 * The files beside an ONNX file that hold its weights, as it names them, wherever in it: in subgraphs of If, Loop and Scan, in attributes, in
 * functions, in sparse tensors. None where it holds them itself. Throws where the file is no protocol buffers message.
 */
export function externalFiles(file: string): string[] {
  return readGraph(file, (read, graph, model) => {
    const found = new Set<string>();
    const walk = walker(read, found);
    walk.graph(graph, 0);
    for (const own of fieldsOf(read, model, MODEL_FUNCTION)) {
      walk.nodes(fieldsOf(read, own, FUNCTION.NODE), 0);
      walk.attributes(fieldsOf(read, own, FUNCTION.ATTRIBUTE), 0);
    }
    return [...found];
  });
}

/** Throws where weights lie elsewhere than beside or below the file, which is all that is served of a version. */
export function requireWeightsBelow(locations: readonly string[]): void {
  const elsewhere = locations.find((location) => !isBelow(location));
  if (elsewhere === undefined) return;
  throw new Error(
    `its weights are in "${elsewhere}"; expected files beside or below it, where those of a version are (onnx.save_model(model, file, save_as_external_data=True, location="weights.bin") writes them there)`,
  );
}

/** A folder that begins with a dot is none of a version's. */
function isBelow(location: string): boolean {
  const parts = normalize(location).split(/[/\\]/);
  const name = parts.pop() ?? '';
  const isFile = !['', '.', '..'].includes(name) && !/^[A-Za-z]:/.test(location);
  return isFile && !isAbsolute(location) && !parts.some((folder) => folder.startsWith('.'));
}

function walker(read: Read, found: Set<string>) {
  const walk = {
    graph(graph: Field, depth: number): void {
      if (depth > DEPTH_MAX) throw new Error(`expected at most ${DEPTH_MAX} graphs within each other`);
      for (const field of fieldsOf(read, graph, ...Object.values(GRAPH))) {
        if (field.number === GRAPH.NODE) walk.nodes([field], depth);
        else if (field.number === GRAPH.INITIALIZER) walk.tensor(field);
        else walk.sparse(field);
      }
    },
    nodes(nodes: readonly Field[], depth: number): void {
      for (const node of nodes) walk.attributes(fieldsOf(read, node, NODE_ATTRIBUTE), depth);
    },
    attributes(attributes: readonly Field[], depth: number): void {
      for (const attribute of attributes) {
        for (const field of fieldsOf(read, attribute, ...Object.values(ATTRIBUTE))) {
          if (field.number === ATTRIBUTE.GRAPH || field.number === ATTRIBUTE.GRAPHS) walk.graph(field, depth + 1);
          else if (field.number === ATTRIBUTE.SPARSE || field.number === ATTRIBUTE.SPARSES) walk.sparse(field);
          else walk.tensor(field);
        }
      }
    },
    sparse(sparse: Field): void {
      for (const tensor of fieldsOf(read, sparse, ...Object.values(SPARSE))) walk.tensor(tensor);
    },
    tensor(tensor: Field): void {
      for (const entry of fieldsOf(read, tensor, TENSOR_EXTERNAL_DATA)) {
        if (!fieldsOf(read, entry, ENTRY.KEY).some((key) => textIn(read, key) === 'location')) continue;
        for (const value of fieldsOf(read, entry, ENTRY.VALUE)) found.add(textIn(read, value));
      }
    },
  };
  return walk;
}
