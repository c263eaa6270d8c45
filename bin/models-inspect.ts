import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { OnnxTensor } from '../src/models/signature.ts';
import { oneLine } from '../src/process/printable.ts';
import { leftOutText } from '../workers/inference/left-out.ts';
import { sharingNote } from '../workers/repository/sharing-note.ts';
import { type Command, print, table } from './command.ts';
import { type Inspection, identityOf, inspect } from './inspection.ts';

export const modelsInspectCommand: Command = {
  name: 'models inspect',
  operand: 'FILE',
  purpose: 'Prints the inputs, outputs and GraphQL types of an ONNX file, and whether its tasks can share a run',
  notes: `It reads model.json as a worker does: beside the file, or in NAME if the file is NAME/VERSION/model.onnx.`,
  async run({ operand: file = '' }) {
    const directory = await mkdtemp(join(tmpdir(), 'foretell-inspect-'));
    const inspection = await inspect(file, identityOf(file), directory).finally(() =>
      rm(directory, { recursive: true }),
    );
    // Loaded here: no other command has a use for the GraphQL library, a worker's process least of all.
    const { modelText } = await import('../src/api/graphql/schema/model-text.ts');
    print(describe(file, inspection, modelText(inspection.model.served)));
    return 0;
  },
};

/** What there is to say of a file, for people. */
function describe(file: string, inspection: Inspection, types: string | undefined): string {
  const { model, onnx, facts, weights, bytes } = inspection;
  const { served } = model;
  const opsets = facts.opsets.map(({ domain, version }) => `${domain || 'ai.onnx'} ${version}`).join(', ');
  const rows: [string, string][] = [
    ['name', served.name],
    ['size', `${bytes} bytes${weights.length > 0 ? `, with ${weights.join(', ')}` : ''}`],
    ['sha-256', served.digest],
    ['opset', `${opsets}; IR version ${facts.irVersion ?? 'unknown'}`],
    ...(facts.producer ? [['producer', facts.producer] as [string, string]] : []),
    ...onnx.inputs.map((tensor): [string, string] => ['input', tensorText(tensor)]),
    ...onnx.outputs.map((tensor): [string, string] => ['output', tensorText(tensor)]),
    ['batched', model.unbatched() === undefined ? `yes, ${sharingNote(model)}` : `no: ${model.unbatched()}`],
  ];
  const notes = model.leftOut.map((output) => `Note: ${oneLine(leftOutText(output))}.\n\n`).join('');
  return `${oneLine(file)}\n\n${table(rows)}\n\n${notes}${types ?? `No typed input, because ${oneLine(typedObstacle(onnx.inputs))}; submit tensors (--tensors).`}\n`;
}

function tensorText({ name, datatype, dimensions }: OnnxTensor): string {
  const shape = dimensions?.map((dimension) => (dimension === '' || Number(dimension) < 0 ? '?' : dimension));
  return `${name} ${datatype} ${shape ? `[${shape.join(', ')}]` : 'of any rank'}`;
}

function typedObstacle(inputs: readonly OnnxTensor[]): string {
  const unknown = inputs.find(({ dimensions }) => dimensions === null);
  return unknown ? `the rank of input "${unknown.name}" is unknown` : 'it has no inputs';
}
