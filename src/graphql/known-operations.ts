import { type DocumentNode, type GraphQLSchema, getOperationAST, OperationTypeNode } from 'graphql';
import type { Limits } from './limits.ts';

/** Documents that are kept, parsed and validated: whoever calls again sends the same text. */
const KEPT_MAX = 1_000;

/** An operation that was found to be in order. */
export interface KnownOperation {
  document: DocumentNode;
  isSubscription: boolean;
}

/** Operations by their text, as long as their schema is served. */
export interface KnownOperations {
  /** `undefined` for one that has a fault, whatever it is. */
  find(query: string, operationName: string | undefined, schema: GraphQLSchema): KnownOperation | undefined;
}

export function createKnownOperations(limits: Limits): KnownOperations {
  const kept = new Map<string, { document: DocumentNode; schema: GraphQLSchema }>();

  function documentOf(query: string, schema: GraphQLSchema): DocumentNode | undefined {
    const known = kept.get(query);
    if (known?.schema === schema) return known.document;
    const document = known?.document ?? parsed(query, limits);
    if (!document || limits.validate(schema, document).length > 0) return undefined;
    kept.set(query, { document, schema });
    for (const oldest of kept.keys()) {
      if (kept.size <= KEPT_MAX) break;
      kept.delete(oldest);
    }
    return document;
  }

  return {
    find(query, operationName, schema) {
      const document = documentOf(query, schema);
      const operation = document && getOperationAST(document, operationName);
      if (!operation) return undefined;
      return { document, isSubscription: operation.operation === OperationTypeNode.SUBSCRIPTION };
    },
  };
}

function parsed(query: string, limits: Limits): DocumentNode | undefined {
  try {
    return limits.parse(query);
  } catch {
    return undefined;
  }
}
