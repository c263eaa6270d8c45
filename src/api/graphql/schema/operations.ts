import { AppError, InputError } from '../../../errors.ts';
import type { AllowanceAt } from '../../../models/file-inputs.ts';
import { defaultVersions, faultsOf, findModel, unservedModel, unservedModels } from '../../../registry/registry.ts';
import type { Task } from '../../../task/task.ts';
import type { Hold } from '../../predictions/results.ts';
import type { Builder, GraphQLContext } from './builder.ts';
import type { ModelTypes } from './model-types.ts';
import type { addPredictionInput } from './prediction-input.ts';
import { type PredictionInput, readPredictionInputs } from './prediction-input.ts';
import { fieldsBelow } from './selection-fold.ts';
import { addSubmitOptions, readSubmitOptions, type SubmitTerms } from './submit-options.ts';
import type { TaskTypes } from './task-types.ts';

/** Largest number of ids and predictions in one operation, over all its fields: aliases do not multiply it. */
export const NAMED_MAX = 1_000;

interface Refs {
  tasks: TaskTypes;
  predictionInput: ReturnType<typeof addPredictionInput>;
  models: readonly ModelTypes[];
}

export function addOperations(builder: Builder, refs: Refs): void {
  addQueries(builder, refs);
  addMutations(builder, refs);
  addSubscriptions(builder, refs);
}

function addQueries(builder: Builder, { tasks }: Refs): void {
  const { model, task } = tasks;
  builder.queryType({
    fields: (t) => ({
      result: t.field({
        type: task,
        nullable: true,
        description:
          'One task. null if the id is unknown, if the task is no longer kept, or if it belongs to another owner (another API key); these look the same.',
        args: { id: t.arg.id({ required: true }) },
        resolve: async (_root, { id }, context) => {
          const [found] = await context.predictions.get(
            atMost([id], 'id', context),
            context.owner,
            holdFor('id', context),
          );
          return found ?? null;
        },
      }),
      results: t.field({
        type: t.listRef(task, { nullable: true }),
        description:
          'Several tasks, in the order of ids; null where result(id) is null. At most 1,000 ids and 64 MiB of outputs.',
        args: { ids: t.arg.idList({ required: true }) },
        resolve: async (_root, { ids }, context, info) => {
          context.answer.countValues(ids.length * fieldsBelow(info), info);
          const found = await context.predictions.get(
            atMost(ids, 'ids', context),
            context.owner,
            holdFor('ids', context),
          );
          return found.map((one) => one ?? null);
        },
      }),
      models: t.field({
        type: [model],
        description:
          'The default version of every known model, and every model that cannot be served, with its error in fault.',
        resolve: (_root, _args, { registry, answer }, info) => {
          const models = [...defaultVersions(registry.list()), ...unservedModels(registry)];
          answer.countValues(models.length * fieldsBelow(info), info);
          return models;
        },
      }),
      model: t.field({
        type: model,
        nullable: true,
        description: 'One model, in its default version unless version names another; null if it is unknown.',
        args: { name: t.arg.string({ required: true }), version: t.arg.string() },
        resolve: (_root, { name, version }, { registry }) => {
          const [fault] = faultsOf(registry, name, version);
          const unserved = fault && unservedModel({ ...fault, version: fault.version ?? version ?? undefined });
          return findModel(registry.list(), name, version) ?? unserved ?? null;
        },
      }),
    }),
  });
}

function addMutations(builder: Builder, { tasks: { task }, predictionInput, models }: Refs): void {
  const options = addSubmitOptions(builder);

  const submit = async (
    inputs: PredictionInput[],
    paths: (string | number)[][],
    { version, ...terms }: SubmitTerms,
    context: GraphQLContext,
  ) => {
    const { registry, predictions, owner, gone, closing, traceparent } = context;
    const hold = holdFor('options', context);
    const allowance = allowanceOf(context);
    const requests = await readPredictionInputs(inputs, paths, { version, registry, models, allowance });
    const signal = terms.waitMs > 0 ? AbortSignal.any([gone(), closing]) : undefined;
    return predictions.submit(requests, { ...terms, owner, payer: context.load.owner, hold, traceparent, signal });
  };

  builder.mutationType({
    fields: (t) => ({
      submitPrediction: t.field({
        type: task,
        description: 'Enqueues one prediction and returns its task once the broker has confirmed it.',
        args: { input: t.arg({ type: predictionInput, required: true }), options: t.arg({ type: options }) },
        resolve: async (_root, { input, options: given }, context) => {
          const terms = readSubmitOptions(given, false);
          const [submitted] = await submit(atMost([input], 'input', context), [['input']], terms, context);
          if (!submitted) throw new Error('one submission gave no task');
          return submitted;
        },
      }),
      submitPredictions: t.field({
        type: [task],
        description:
          'Enqueues up to 1,000 predictions in one call. All are validated before any is enqueued. If the broker fails midway, the call returns an error and no ids, and the tasks already enqueued are withdrawn; some of them may have run. waitMs waits for all tasks.',
        args: { inputs: t.arg({ type: [predictionInput], required: true }), options: t.arg({ type: options }) },
        resolve: (_root, { inputs, options: given }, context) =>
          submit(
            atMost(inputs, 'inputs', context),
            inputs.map((_, i) => ['inputs', i]),
            readSubmitOptions(given, true),
            context,
          ),
      }),
      cancelTask: t.field({
        type: task,
        description:
          'Cancels a task that is not terminal. A terminal task (SUCCEEDED, FAILED, CANCELLED, EXPIRED) is returned unchanged, so calling twice is no error.',
        args: { id: t.arg.id({ required: true }) },
        resolve: (_root, { id }, context) => context.predictions.cancel(id, context.owner, holdFor('id', context)),
      }),
    }),
  });
}

function addSubscriptions(builder: Builder, { tasks: { task } }: Refs): void {
  // A result that can no longer be sent is an error of its own in the stream; the stream goes on.
  const resolve = (value: Task | AppError) => {
    if (value instanceof AppError) throw value;
    return value;
  };
  // A client that does not read leaves results here.
  const shareOf = ({ load }: GraphQLContext) => ({
    payer: load.owner,
    hold: (bytes: number) => load.holdEvent(bytes),
  });
  builder.subscriptionType({
    fields: (t) => ({
      taskCompleted: t.field({
        type: task,
        description:
          'Emits the task once, when it reaches a terminal state (SUCCEEDED, FAILED, CANCELLED or EXPIRED), or at once if it has. Then completes. An id for which result is null gets one UNKNOWN_TASK error.',
        args: { id: t.arg.id({ required: true }) },
        subscribe: (_root, { id }, context) =>
          context.predictions.completions([id], context.owner, context.gone(), shareOf(context)),
        resolve,
      }),
      tasksCompleted: t.field({
        type: task,
        description:
          'Emits each task when it reaches a terminal state; completes after the last one. At most 1,000 ids. Unknown ids get one UNKNOWN_TASK error that lists them.',
        args: { ids: t.arg.idList({ required: true }) },
        subscribe: (_root, { ids }, context) =>
          context.predictions.completions(atMost(ids, 'ids', context), context.owner, context.gone(), shareOf(context)),
        resolve,
      }),
      taskUpdated: t.field({
        type: task,
        description: 'Emits the current state, then every change. Completes after a terminal state.',
        args: { id: t.arg.id({ required: true }) },
        subscribe: (_root, { id }, context) =>
          context.predictions.updates(id, context.owner, context.gone(), shareOf(context)),
        resolve,
      }),
    }),
  });
}

/** Takes the memory for results; an error names the argument that asked for too many. */
function holdFor(argument: string, { load }: GraphQLContext): Hold {
  return (bytes) => load.hold(bytes, [argument]);
}

/** Takes the memory for the inputs of this request; an error names the path of the input or file. */
function allowanceOf({ load }: GraphQLContext): AllowanceAt {
  return (path) => ({
    owner: load.owner,
    hold: (bytes) => load.holdTensor(bytes, path),
    unpack: (bytes) => load.unpack(bytes, path),
    turn: (bytes) => load.turn(bytes),
  });
}

/** Returns the list if the operation may still name that many; throws otherwise. */
function atMost<T>(list: readonly T[], argument: string, { budget }: GraphQLContext): T[] {
  if (list.length > budget.left) {
    refuse([argument], `expected at most ${NAMED_MAX} in one operation, got ${list.length + NAMED_MAX - budget.left}`);
  }
  budget.left -= list.length;
  return [...list];
}

function refuse(path: (string | number)[], message: string): never {
  throw new InputError('INVALID_INPUT', [{ path, message }]);
}
