import { type ArgumentNode, getOperationAST, Kind, visit } from 'graphql';
import type { Operation } from './operation.ts';

/**
 * The variables that the events of a subscription are executed with. GraphQL coerces all variables again for each event; a list that only an
 * argument of the subscription's own field takes has done its work by then, and is emptied: a thousand ids would be coerced a thousand times.
 */
export function eventVariables({
  document,
  operationName,
  variableValues,
}: Pick<Operation, 'document' | 'operationName' | 'variableValues'>): Record<string, unknown> {
  const entries = Object.entries(variableValues ?? {});
  const isListed = entries.some(([, value]) => Array.isArray(value));
  if (!isListed) return { ...variableValues };
  const spent = new Set<ArgumentNode>();
  for (const field of getOperationAST(document, operationName)?.selectionSet.selections ?? []) {
    if (field.kind === Kind.FIELD) for (const argument of field.arguments ?? []) spent.add(argument);
  }
  const needed = new Set<string>();
  visit(document, {
    VariableDefinition: () => false,
    Argument: (argument) => (spent.has(argument) ? false : undefined),
    Variable: ({ name }) => {
      needed.add(name.value);
    },
  });
  return Object.fromEntries(
    entries.map(([name, value]) => [name, Array.isArray(value) && !needed.has(name) ? [] : value]),
  );
}
