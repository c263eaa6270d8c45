import { assertValidSchema, type GraphQLSchema, lexicographicSortSchema, printSchema } from 'graphql';
import type { ServedModel } from '../../../models/served-model.ts';
import { createBuilder } from './builder.ts';
import { addModelTypes, type ModelTypes } from './model-types.ts';
import { addOperations } from './operations.ts';
import { addPredictionInput } from './prediction-input.ts';
import { shownModels } from './shown-models.ts';
import { addTaskTypes } from './task-types.ts';
import { addTensorTypes } from './tensor-types.ts';

export interface ApiSchema {
  schema: GraphQLSchema;
  /** The models that have a typed API, with their names in the schema, including those that are no longer served. */
  models: readonly ModelTypes[];
}

/**
 * The schema for these models: a function of the registered models, built again when they change.
 * @param withdrawn models that are no longer registered but that tasks may refer to: their types stay, so that documents which name them stay valid
 */
export function buildApiSchema(served: readonly ServedModel[], withdrawn: readonly ServedModel[] = []): ApiSchema {
  const builder = createBuilder();
  const tensors = addTensorTypes(builder);
  const models = addModelTypes(builder, shownModels(served, withdrawn), tensors);
  const tasks = addTaskTypes(builder, models, tensors);
  const predictionInput = addPredictionInput(builder, models, tensors);
  addOperations(builder, { tasks, predictionInput, models });
  const schema = builder.toSchema();
  // Here, where the models that cause an error are known, and not at the first operation.
  assertValidSchema(schema);
  return { schema, models };
}

/** `schema.graphql`: the same text whatever the order of the models. */
export function schemaText(served: readonly ServedModel[]): string {
  return `${printSchema(lexicographicSortSchema(buildApiSchema(served).schema))}\n`;
}
