import { type DocumentNode, type GraphQLSchema, getOperationAST, OperationTypeNode } from 'graphql';
import type { Limits } from './limits.ts';

/** Documents that are kept, parsed and validated: a client sends the same text again and again. */
const KEPT_MAX = 1_000;

/** Memory of the documents that are kept. Losing one costs its next request some 100 µs. */
const KEPT_BYTES_MAX = 32 * 1024 * 1024;

/** What a parsed token takes, measured: the token itself, its nodes, and where they are. */
const TOKEN_BYTES = 512;

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

interface Kept {
  document: DocumentNode;
  schema: GraphQLSchema;
  bytes: number;
}

export function createKnownOperations(limits: Limits, keptBytesMax = KEPT_BYTES_MAX): KnownOperations {
  const kept = new Map<string, Kept>();
  let keptBytes = 0;

  function keep(query: string, document: DocumentNode, schema: GraphQLSchema): void {
    forget(query);
    const bytes = bytesOf(document, query);
    kept.set(query, { document, schema, bytes });
    keptBytes += bytes;
    for (const oldest of kept.keys()) {
      if (kept.size <= KEPT_MAX && keptBytes <= keptBytesMax) break;
      forget(oldest);
    }
  }

  function forget(query: string): void {
    keptBytes -= kept.get(query)?.bytes ?? 0;
    kept.delete(query);
  }

  function documentOf(query: string, schema: GraphQLSchema): DocumentNode | undefined {
    const known = kept.get(query);
    if (known?.schema === schema) return known.document;
    const document = known?.document ?? parsed(query, limits);
    if (!document || limits.validate(schema, document).length > 0) return undefined;
    keep(query, document, schema);
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

function bytesOf(document: DocumentNode, query: string): number {
  let tokens = 0;
  for (let token = document.loc?.startToken ?? null; token; token = token.next) tokens += 1;
  return tokens * TOKEN_BYTES + query.length * 2;
}

function parsed(query: string, limits: Limits): DocumentNode | undefined {
  try {
    return limits.parse(query);
  } catch {
    return undefined;
  }
}
