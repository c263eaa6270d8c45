import {
  type ASTNode,
  type DocumentNode,
  type GraphQLInputObjectType,
  type GraphQLInputType,
  type GraphQLSchema,
  getNamedType,
  getOperationAST,
  isInputObjectType,
  isInputType,
  isListType,
  isNonNullType,
  isRequiredInputField,
  typeFromAST,
  type VariableDefinitionNode,
  visit,
} from 'graphql';
import { messageOf } from '../errors.ts';
import { type InputIssues, isRecord, kindOf, type Path } from '../models/input-issues.ts';

const MESSAGE_LENGTH_MAX = 160;

interface Operation {
  schema: GraphQLSchema;
  document: DocumentNode;
  operationName?: string | null | undefined;
  variableValues?: Readonly<Record<string, unknown>> | null | undefined;
}

/**
 * Why variables could not be coerced, as paths from the argument's name down: GraphQL itself says it in prose, from the
 * variable's name, and stops short of the field that is missing. Reads the operation only once it has failed.
 */
export function findVariableIssues(
  { schema, document, operationName, variableValues }: Operation,
  issues: InputIssues,
): void {
  const operation = getOperationAST(document, operationName);
  for (const definition of operation?.variableDefinitions ?? []) {
    const type = typeFromAST(schema, definition.type);
    if (!isInputType(type)) continue;
    const name = definition.variable.name.value;
    const value = variableValues?.[name];
    if (value === undefined && definition.defaultValue) continue;
    walk(type, value, argumentPath(document, definition), issues);
  }
}

/** Where a variable is used first: `$flower` in `input: { iris: $flower }` is at `input.iris`. */
export function argumentPath(document: DocumentNode, { variable }: VariableDefinitionNode): Path {
  let found: Path | undefined;
  visit(document, {
    VariableDefinition: () => false,
    Variable: (node, _key, parent, _path, ancestors) => {
      const trail = [...ancestors, parent, node].filter(isNode);
      if (node.name.value === variable.name.value) found ??= pathThrough(trail);
    },
  });
  return found ?? [variable.name.value];
}

function pathThrough(ancestors: readonly ASTNode[]): Path {
  return ancestors.flatMap((node, i): Path => {
    if (node.kind === 'Argument' || node.kind === 'ObjectField') return [node.name.value];
    if (node.kind === 'ListValue') {
      const next = ancestors.slice(i + 1);
      return [node.values.findIndex((value) => next.includes(value))];
    }
    return [];
  });
}

function isNode(ancestor: ASTNode | readonly ASTNode[] | undefined): ancestor is ASTNode {
  return ancestor !== undefined && 'kind' in ancestor;
}

function walk(type: GraphQLInputType, value: unknown, path: Path, issues: InputIssues): void {
  if (value === undefined || value === null) {
    if (isNonNullType(type)) issues.add(path, `expected ${type.ofType}, got ${kindOf(value)}`);
  } else if (isNonNullType(type)) {
    walk(type.ofType, value, path, issues);
  } else if (isListType(type)) {
    // GraphQL takes a single value for a list of one.
    if (!Array.isArray(value)) walk(type.ofType, value, path, issues);
    else for (const [i, item] of value.entries()) walk(type.ofType, item, [...path, i], issues);
  } else if (isInputObjectType(type)) {
    walkObject(type, value, path, issues);
  } else {
    const fault = leafFault(type, value);
    if (fault !== undefined) issues.add(path, fault);
  }
}

function walkObject(type: GraphQLInputObjectType, value: unknown, path: Path, issues: InputIssues): void {
  if (!isRecord(value)) {
    issues.add(path, `expected an object, ${type.name}, got ${kindOf(value)}`);
    return;
  }
  const fields = type.getFields();
  const names = Object.keys(fields).join(', ');
  const given = Object.keys(value).filter((key) => value[key] !== undefined);
  for (const key of given) {
    if (!Object.hasOwn(fields, key)) issues.add([...path, key], `unknown field; expected one of ${names}`);
  }
  if (type.isOneOf && given.length !== 1) issues.add(path, `expected exactly one of ${names}, got ${given.length}`);
  for (const [key, field] of Object.entries(fields)) {
    if (value[key] !== undefined || isRequiredInputField(field)) walk(field.type, value[key], [...path, key], issues);
    if (type.isOneOf && value[key] === null)
      issues.add([...path, key], `expected ${getNamedType(field.type)}, got null`);
  }
}

function leafFault(type: { parseValue(value: unknown): unknown }, value: unknown): string | undefined {
  try {
    type.parseValue(value);
    return undefined;
  } catch (error) {
    return shortened(messageOf(error));
  }
}

/** GraphQL quotes what it was given, which may be megabytes. */
function shortened(message: string): string {
  return message.length <= MESSAGE_LENGTH_MAX ? message : `${message.slice(0, MESSAGE_LENGTH_MAX)}…`;
}
