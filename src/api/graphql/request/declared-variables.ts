import { type DocumentNode, getOperationAST } from 'graphql';

type Variables = Readonly<Record<string, unknown>>;

interface Operation {
  document: DocumentNode;
  operationName?: string | null | undefined;
  variableValues?: Variables | null | undefined;
}

/**
 * The variables that the operation declares. GraphQL ignores all others, and a stream that kept them would hold what its client put
 * there for as long as it is open.
 */
export function declaredVariables({ document, operationName, variableValues }: Operation): Variables {
  const given = variableValues ?? {};
  const definitions = getOperationAST(document, operationName)?.variableDefinitions ?? [];
  const names = definitions.map(({ variable }) => variable.name.value).filter((name) => Object.hasOwn(given, name));
  if (names.length === Object.keys(given).length) return given;
  return Object.fromEntries(names.map((name) => [name, given[name]]));
}
