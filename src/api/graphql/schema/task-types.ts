import { GraphQLError, type GraphQLResolveInfo } from 'graphql';
import { AppError } from '../../../errors.ts';
import { differingFields, TypedPrediction } from '../../../models/prediction.ts';
import { fingerprintOf, type ServedModel } from '../../../models/served-model.ts';
import { sharedBatchOf, unbatchedOf } from '../../../models/sharing.ts';
import { typedApiOf } from '../../../models/typed-api.ts';
import { faultsOf, findModel } from '../../../registry/registry.ts';
import { TASK_STATES, type Task, type TaskError } from '../../../task/task.ts';
import type { Tensor, TensorSpec } from '../../../tensor/tensor.ts';
import type { AnswerText } from './answer-text.ts';
import type { Builder, GraphQLContext } from './builder.ts';
import type { ModelTypes, PredictionValue } from './model-types.ts';
import { fieldsBelow } from './selection-fold.ts';
import { selectsOf } from './selections.ts';
import type { TensorTypes } from './tensor-types.ts';

/** The type of a prediction that has no type of its model. */
const TENSORS = 'TensorsPrediction';

/** `Model`, `Task`, and the union of predictions. */
export function addTaskTypes(builder: Builder, models: readonly ModelTypes[], tensors: TensorTypes) {
  const model = addModel(builder, tensors);
  const prediction = addPredictionUnion(builder, models, tensors);

  const state = builder.enumType('TaskState', {
    description:
      'QUEUED → RUNNING → SUCCEEDED or FAILED; or CANCELLED, or EXPIRED. These last four are terminal: they never change.',
    values: TASK_STATES,
  });
  const error = builder.objectRef<TaskError>('TaskError').implement({
    description: 'Why a task FAILED.',
    fields: (t) => ({
      code: t.exposeString('code', {
        description: 'INPUTS_LOST, INVALID_OUTPUT, MODEL_ERROR, STORE_FULL, TIMEOUT, WORKER_LOST.',
      }),
      message: t.exposeString('message'),
    }),
  });
  const task = builder.objectRef<Task>('Task').implement({
    description: 'One prediction, from its submission to its terminal state.',
    fields: (t) => ({
      id: t.exposeID('id'),
      state: t.expose('state', { type: state }),
      model: t.field({ type: model, resolve: modelOf }),
      prediction: t.field({
        type: prediction,
        nullable: true,
        description: 'Present when SUCCEEDED.',
        resolve: (value, _args, context, info) => predictionOf(value, context, models, info),
      }),
      error: t.field({
        type: error,
        nullable: true,
        description: 'Present when FAILED.',
        resolve: (value) => value.error ?? null,
      }),
      attempts: t.exposeInt('attempts', { description: 'The number of times that a worker has started it.' }),
      submittedAt: t.expose('submittedAt', { type: 'DateTime' }),
      startedAt: t.expose('startedAt', { type: 'DateTime', nullable: true }),
      completedAt: t.expose('completedAt', { type: 'DateTime', nullable: true }),
      queuedMs: t.float({
        nullable: true,
        description: 'Milliseconds between submission and the start of the last attempt.',
        // The clocks of two machines may differ; a negative wait would confuse.
        resolve: ({ startedAt, submittedAt }) =>
          startedAt === undefined ? null : Math.max(0, startedAt - submittedAt),
      }),
      runMs: t.float({
        nullable: true,
        description: 'Milliseconds that the model ran, for all tasks of the run.',
        resolve: ({ result }) => result?.runMs ?? null,
      }),
      batchSize: t.int({
        nullable: true,
        description: 'The number of tasks that shared the run.',
        resolve: ({ result }) => result?.batchSize ?? null,
      }),
    }),
  });
  return { model, task };
}

export type TaskTypes = ReturnType<typeof addTaskTypes>;

function addModel(builder: Builder, tensors: TensorTypes) {
  return builder.objectRef<ServedModel>('Model').implement({
    description: 'One version of a model that workers serve, or served.',
    fields: (t) => ({
      id: t.id({
        description:
          "Identifies this version's files and manifest, so that a client can cache it. A changed file or manifest has another id.",
        resolve: (served) => fingerprintOf(served),
      }),
      name: t.exposeString('name'),
      version: t.exposeString('version', {
        description: 'The name of its folder; "none" for a model that cannot be served and has no version.',
      }),
      versions: t.stringList({
        description: 'All known versions of this model, newest first.',
        resolve: ({ name }, _args, { registry, answer }, info) => {
          const served = registry.list();
          answer.countValues(served.length, info);
          return served.flatMap((other) => (other.name === name ? [other.version] : []));
        },
      }),
      description: t.string({
        nullable: true,
        resolve: ({ description }, _args, { answer }, info) =>
          description === undefined ? null : answer.countText(description, info),
      }),
      inputs: t.field({
        type: [tensors.spec],
        resolve: ({ signature }, _args, { answer }, info) => counted(signature.inputs, answer, info),
      }),
      outputs: t.field({
        type: [tensors.spec],
        resolve: ({ signature }, _args, { answer }, info) => counted(signature.outputs, answer, info),
      }),
      digest: t.exposeString('digest', { description: 'SHA-256 of the model file.' }),
      maxBatch: t.int({
        description: 'The largest number of tasks that share a run. 1: tasks never share a run.',
        resolve: (served, _args, { registry }) => sharedBatchOf(registry, served),
      }),
      unbatched: t.string({
        nullable: true,
        description: 'The reason why tasks do not share a run; null if they do.',
        resolve: (served, _args, { registry }) => unbatchedOf(registry, served) ?? null,
      }),
      workers: t.int({
        description: 'The number of workers that serve it now. With 0, tasks wait for a worker.',
        resolve: (served, _args, { registry }) => registry.workers(fingerprintOf(served)),
      }),
      fault: t.string({
        nullable: true,
        description: 'The error in the newest files, which are therefore not served; null if there is none.',
        resolve: ({ name, version }, _args, { registry, answer }, info) => {
          const [fault] = faultsOf(registry, name, version);
          return fault ? answer.countText(fault.message, info) : null;
        },
      }),
    }),
  });
}

/** The number of values that GraphQL completes for them, dimensions of shapes included. */
function counted(specs: readonly TensorSpec[], answer: AnswerText, info: GraphQLResolveInfo): TensorSpec[] {
  const dimensions = specs.reduce((sum, { shape }) => sum + (shape?.length ?? 0), 0);
  answer.countValues(specs.length * fieldsBelow(info) + dimensions, info);
  return [...specs];
}

function addPredictionUnion(builder: Builder, models: readonly ModelTypes[], tensors: TensorTypes) {
  const generic = builder.objectRef<PredictionValue>(TENSORS).implement({
    description: 'The outputs of a task that was submitted with tensors, or whose model has changed since.',
    fields: (t) => ({
      outputs: t.field({ type: [tensors.tensor], resolve: ({ outputs }) => [...outputs] }),
    }),
  });
  return builder.unionType('Prediction', {
    types: [...models.map(({ prediction }) => prediction), generic],
    resolveType: ({ typename }) => typename,
  });
}

async function modelOf({ model }: Task, _args: unknown, { registry }: GraphQLContext): Promise<ServedModel> {
  const served = (await registry.find(model.fingerprint)) ?? findModel(registry.list(), model.name, model.version);
  if (!served) throw new AppError('UNKNOWN_MODEL', `model "${model.name}" version ${model.version} is no longer known`);
  return served;
}

/** A task's prediction, typed or as tensors, as it was submitted. It is a promise only if needed: one promise makes every value around it a promise. */
function predictionOf(
  task: Task,
  { registry }: GraphQLContext,
  models: readonly ModelTypes[],
  info: GraphQLResolveInfo,
): PredictionValue | null | Promise<PredictionValue> {
  const { state, result, door, model } = task;
  if (state !== 'SUCCEEDED' || !result) return null;
  const { outputs } = result;
  const types = door === 'typed' ? models.find((other) => other.model.name === model.name) : undefined;
  if (!types) return untyped(outputs);
  if (fingerprintOf(types.model) === model.fingerprint) return typedBy(types.model, types, task, outputs, info);
  return registry.find(model.fingerprint).then((served) => typedBy(served, types, task, outputs, info));
}

/** The schema shows one version; a result of another version has its type only if both have the same fields. */
function typedBy(
  served: ServedModel | undefined,
  { typedApi: shown, typename }: ModelTypes,
  task: Task,
  outputs: readonly Tensor[],
  info: GraphQLResolveInfo,
): PredictionValue {
  const typedApi = served && typedApiOf(served);
  const differing = typedApi ? differingFields(typedApi, shown) : [];
  if (typedApi && differing.length === 0) {
    return { typename, typed: new TypedPrediction(typedApi, served.signature.batched, outputs), outputs };
  }
  // Otherwise the answer would be `{}`, without an error.
  if (selectsOf(info, typename) && !selectsOf(info, TENSORS)) {
    const of = `model "${task.model.name}" version ${task.model.version}, as it was when this task was submitted`;
    const fields = differing.length > 0 ? ` (different: ${differing.join(', ')})` : '';
    const message = `${of}, has other outputs than ${typename}${fields}; select ... on ${TENSORS} { outputs { name } }`;
    throw new GraphQLError(message, { extensions: { code: 'BAD_USER_INPUT' } });
  }
  return untyped(outputs);
}

function untyped(outputs: readonly Tensor[]): PredictionValue {
  return { typename: TENSORS, typed: undefined, outputs };
}
