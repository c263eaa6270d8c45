import {
  type GraphQLNamedType,
  type GraphQLType,
  getNamedType,
  isInputObjectType,
  isObjectType,
  isUnionType,
  printType,
} from 'graphql';
import type { ServedModel } from '../../../models/served-model.ts';
import { buildApiSchema } from './schema.ts';

/** The GraphQL types of a model that is served alone; `undefined` if it has no typed API. */
export function modelText(model: ServedModel): string | undefined {
  const { schema, models } = buildApiSchema([model]);
  const [types] = models;
  const inputs = schema.getType('PredictionInput');
  if (!types || !isInputObjectType(inputs)) return undefined;
  const field = inputs.getFields()[types.field];
  const everyModels = buildApiSchema([]).schema;
  const found = new Set<GraphQLNamedType>();
  const visit = (of: GraphQLType | undefined): void => {
    const type = of && getNamedType(of);
    if (!type || found.has(type) || everyModels.getType(type.name)) return;
    found.add(type);
    const isOpen = isInputObjectType(type) || isObjectType(type);
    for (const { type: inner } of isOpen ? Object.values(type.getFields()) : []) visit(inner);
  };
  visit(field?.type);
  visit(schema.getType(types.typename));
  const union = schema.getType('Prediction');
  return [
    `input PredictionInput @oneOf { ${types.field}: ${field?.type} … }`,
    ...[...found].map((type) => printType(type)),
    ...(isUnionType(union) ? [`union Prediction = ${types.typename} | …`] : []),
  ].join('\n\n');
}
