import { type DocumentNode, GraphQLError, type GraphQLSchema, getOperationAST, type OperationTypeNode } from 'graphql';
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
  kind: OperationTypeNode;
}

/** Operations by their text, as long as their schema is served. */
export interface KnownOperations {
  /** The operation, or the errors of one that has a fault. */
  find(
    query: string,
    operationName: string | null | undefined,
    schema: GraphQLSchema,
  ): KnownOperation | readonly GraphQLError[];
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

  return {
    find(query, operationName, schema) {
      const known = kept.get(query);
      const document = known?.document ?? parsed(query, limits);
      if (document instanceof GraphQLError) return [document];
      const operation = getOperationAST(document, operationName);
      if (!operation) return [noSuchOperation()];
      if (known?.schema !== schema) {
        const faults = limits.validate(schema, document);
        if (faults.length > 0) return faults;
        keep(query, document, schema);
      }
      return { document, kind: operation.operation };
    },
  };
}

function bytesOf(document: DocumentNode, query: string): number {
  let tokens = 0;
  for (let token = document.loc?.startToken ?? null; token; token = token.next) tokens += 1;
  return tokens * TOKEN_BYTES + query.length * 2;
}

function parsed(query: string, limits: Limits): DocumentNode | GraphQLError {
  try {
    return limits.parse(query);
  } catch (error) {
    if (error instanceof GraphQLError) return error;
    throw error;
  }
}

function noSuchOperation(): GraphQLError {
  const extensions = { code: 'BAD_USER_INPUT', http: { status: 400 } };
  return new GraphQLError('Could not determine what operation to execute.', { extensions });
}
