import { isTerminal } from '../src/task/task.ts';
import { type Command, print } from './command.ts';
import { follow, OUTCOME_EXIT, OUTCOME_NOTE } from './followed-task.ts';
import { FIELDS_OPTION, lineOf, withPrediction } from './prediction.ts';
import { NoAnswer, SERVER_OPTIONS, serverOf } from './server.ts';

export const watchCommand: Command = {
  name: 'watch',
  operand: 'ID',
  purpose: 'Prints each state of a task as a line of JSON; the last one has the prediction',
  options: { ...SERVER_OPTIONS, fields: FIELDS_OPTION },
  notes: OUTCOME_NOTE,
  async run(given) {
    const server = serverOf(given);
    for await (const task of follow(server, given.operand ?? '')) {
      print(lineOf(await withPrediction(server, task, given.values['fields'])));
      if (isTerminal(task.state)) return OUTCOME_EXIT[task.state];
    }
    throw new NoAnswer(`${server.url} ended the stream before the task had ended`);
  },
};
