import {
  type ASTNode,
  type DocumentNode,
  type GraphQLInputField,
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
import { messageOf } from '../../../errors.ts';
import { UploadedFile } from '../../../media/media.ts';
import { InputIssues, isRecord, kindOf, type Path } from '../../../models/input-issues.ts';

/** GraphQL quotes a text that it refuses. */
const QUOTED_LENGTH_MAX = 160;

interface Operation {
  schema: GraphQLSchema;
  document: DocumentNode;
  operationName?: string | null | undefined;
  variableValues?: Readonly<Record<string, unknown>> | null | undefined;
}

/**
 * Why variables cannot be coerced, as paths from the argument's name down. Read before GraphQL coerces them: that says it in prose, stops short of the field that is
 * missing, and for each of its errors writes out the whole value, which takes seconds where an object has a hundred thousand keys.
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
    const found = new InputIssues();
    checkOf(type)(value, [], found);
    // Only where there is a fault is it worth knowing where the variable stands.
    if (found.found) found.moveTo(issues, argumentPath(document, definition));
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

/** Checks one value. The path is a stack, copied only where there is a fault to name. */
type Check = (value: unknown, path: Path, issues: InputIssues) => void;

/** Every request asks for the checks of the same types, which are gone with their schema. */
const checks = new WeakMap<GraphQLInputType, Check>();

function checkOf(type: GraphQLInputType): Check {
  if (isNonNullType(type)) return nonNullCheck(type.ofType);
  if (isListType(type)) return listCheck(checkOf(type.ofType));
  const known = checks.get(type);
  if (known) return known;
  const check = isInputObjectType(type) ? objectCheck(type) : leafCheck(type);
  checks.set(type, check);
  return check;
}

function nonNullCheck(type: GraphQLInputType): Check {
  const check = checkOf(type);
  return (value, path, issues) => {
    if (value == null) issues.add(path, `expected ${type}, got ${kindOf(value)}`);
    else check(value, path, issues);
  };
}

function listCheck(check: Check): Check {
  return (value, path, issues) => {
    // GraphQL takes a single value for a list of one.
    if (!Array.isArray(value)) {
      check(value, path, issues);
      return;
    }
    for (let i = 0; i < value.length && !issues.full; i += 1) {
      path.push(i);
      check(value[i], path, issues);
      path.pop();
    }
  };
}

function objectCheck(type: GraphQLInputObjectType): Check {
  const fields = new Map(Object.entries(type.getFields()));
  const names = [...fields.keys()].join(', ');
  let fieldChecks: FieldCheck[] | undefined;
  return (value, path, issues) => {
    if (value == null) return;
    if (!isRecord(value)) {
      issues.add(path, `expected an object, ${type.name}, got ${kindOf(value)}`);
      return;
    }
    let given = 0;
    for (const key in value) {
      if (value[key] === undefined) continue;
      given += 1;
      if (fields.has(key)) continue;
      issues.add([...path, key], `unknown field; expected one of ${names}`);
      if (issues.full) return;
    }
    if (type.isOneOf && given !== 1) issues.add(path, `expected exactly one of ${names}, got ${given}`);
    // Not before they are asked for: a type may contain itself.
    fieldChecks ??= fieldChecksOf(fields);
    for (const { key, isRequired, check, type: expected } of fieldChecks) {
      if (issues.full) return;
      const inner = value[key];
      if (inner === undefined && !isRequired) continue;
      path.push(key);
      check(inner, path, issues);
      if (type.isOneOf && inner === null) issues.add(path, `expected ${expected}, got null`);
      path.pop();
    }
  };
}

interface FieldCheck {
  key: string;
  isRequired: boolean;
  check: Check;
  type: string;
}

function fieldChecksOf(fields: ReadonlyMap<string, GraphQLInputField>): FieldCheck[] {
  return [...fields].map(([key, field]) => ({
    key,
    isRequired: isRequiredInputField(field),
    check: checkOf(field.type),
    type: String(getNamedType(field.type)),
  }));
}

interface Leaf {
  name: string;
  parseValue(value: unknown): unknown;
}

/** Types that take a text of any length; what refuses another one would write it out. */
const TEXTS = new Set(['String', 'ID', 'Image', 'Long', 'DateTime']);

function leafCheck(type: Leaf): Check {
  const isText = TEXTS.has(type.name);
  return (value, path, issues) => {
    if (value == null) return;
    const isObject = typeof value === 'object' && !(value instanceof UploadedFile);
    const isLong = typeof value === 'string' && value.length > QUOTED_LENGTH_MAX && !isText;
    if (isObject || isLong) {
      const got = isLong ? `a string of ${value.length} characters` : kindOf(value);
      issues.add(path, `expected ${type.name}, got ${got}`);
      return;
    }
    try {
      type.parseValue(value);
    } catch (error) {
      issues.add(path, messageOf(error));
    }
  };
}
