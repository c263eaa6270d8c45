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
  /** The models that have a typed API, with their names in the schema; those that are served no more among them. */
  models: readonly ModelTypes[];
}

/**
 * The API for these models: a function of what is registered, built anew whenever that changes.
 * @param withdrawn models that are registered no more and that tasks may refer to: their types stay, so that a document that names them is valid
 */
export function buildApiSchema(served: readonly ServedModel[], withdrawn: readonly ServedModel[] = []): ApiSchema {
  const builder = createBuilder();
  const tensors = addTensorTypes(builder);
  const models = addModelTypes(builder, shownModels(served, withdrawn), tensors);
  const tasks = addTaskTypes(builder, models, tensors);
  const predictionInput = addPredictionInput(builder, models, tensors);
  addOperations(builder, { tasks, predictionInput, models });
  const schema = builder.toSchema();
  // Here, where it is known which models are to blame, and not with the first operation.
  assertValidSchema(schema);
  return { schema, models };
}

/** `schema.graphql`: the same text whatever the order of the models. */
export function schemaText(served: readonly ServedModel[]): string {
  return `${printSchema(lexicographicSortSchema(buildApiSchema(served).schema))}\n`;
}
