import { availableParallelism } from 'node:os';
import { messageOf } from '../src/errors.ts';
import { readModelsDir } from '../src/process/config.ts';
import { oneLine } from '../src/process/printable.ts';
import { leftOutText } from '../workers/inference/left-out.ts';
import { openModelRepository } from '../workers/repository/model-repository.ts';
import { sharingNote } from '../workers/repository/sharing-note.ts';
import { type Command, complain, print } from './command.ts';
import { withPool } from './inspection.ts';

export const modelsCheckCommand: Command = {
  name: 'models check',
  purpose: 'Checks every manifest and model file in MODELS_DIR, and prints each error with its path',
  settings: ['MODELS_DIR'],
  notes: 'Exit code: 0 if everything can be served, 1 if anything cannot.',
  async run({ settings }) {
    const modelsDir = readModelsDir(settings, true);
    const { models, faults } = await withPool(availableParallelism(), async (pool, log) => {
      const repository = await openModelRepository({ modelsDir, pool, log });
      await repository.close();
      return { models: repository.models(), faults: repository.faults().map(({ message }) => message) };
    });
    const { schemaText } = await import('../src/api/graphql/schema/schema.ts');
    try {
      schemaText(models.map(({ served }) => served));
    } catch (error) {
      faults.push(`${modelsDir}: these models cannot share one GraphQL schema: ${messageOf(error)}`);
    }
    for (const model of models) {
      const { served, leftOut } = model;
      const notes = ['can be served', sharingNote(model), ...leftOut.map(leftOutText)];
      for (const note of notes) print(`${oneLine(`${served.name} ${served.version}: ${note}`)}\n`);
    }
    for (const fault of faults) complain(oneLine(fault));
    if (models.length + faults.length === 0) print(`${modelsDir}: no models\n`);
    return faults.length > 0 ? 1 : 0;
  },
};
