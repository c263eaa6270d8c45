import {
  type ASTNode,
  type DocumentNode,
  type ExecutionArgs,
  type GraphQLError,
  type GraphQLInputField,
  type GraphQLInputObjectType,
  type GraphQLInputType,
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
import { toGraphQLError } from './errors.ts';

/** GraphQL quotes a text that it refuses. */
const QUOTED_LENGTH_MAX = 160;

/**
 * Why the variables of an operation cannot be coerced, as paths from the argument's name down; `undefined` where they can. Read before GraphQL coerces them: that says it in
 * prose, stops short of the field that is missing, and for each of its errors writes out the whole value, which takes seconds where an object has a hundred thousand keys.
 */
export function variableFault({
  schema,
  document,
  operationName,
  variableValues,
}: ExecutionArgs): GraphQLError | undefined {
  const issues = new InputIssues();
  const operation = getOperationAST(document, operationName);
  for (const definition of operation?.variableDefinitions ?? []) {
    const type = typeFromAST(schema, definition.type);
    if (!isInputType(type)) continue;
    const value = variableValues?.[definition.variable.name.value];
    if (value === undefined && definition.defaultValue) continue;
    const found = new InputIssues();
    checkOf(type)(value, [], found);
    // Only where there is a fault is it worth knowing where the variable stands.
    if (found.found) found.moveTo(issues, argumentPath(document, definition));
  }
  return issues.found ? toGraphQLError(issues) : undefined;
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

/** Checks the object that has a value, as a part of it. */
type FieldCheck = (object: Record<string, unknown>, path: Path, issues: InputIssues) => void;

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
    const given = countFields(value, { fields, names }, path, issues);
    if (type.isOneOf && given !== 1) issues.add(path, `expected exactly one of ${names}, got ${given}`);
    // Not before they are asked for: a type may contain itself.
    fieldChecks ??= [...fields].map(([key, field]) => fieldCheck(key, field, type.isOneOf));
    for (const check of fieldChecks) {
      if (issues.full) return;
      check(value, path, issues);
    }
  };
}

/** How many fields an object has, unknown ones among them; it is not read on where there are too many faults. */
function countFields(
  object: Record<string, unknown>,
  { fields, names }: { fields: ReadonlyMap<string, unknown>; names: string },
  path: Path,
  issues: InputIssues,
): number {
  let given = 0;
  for (const key in object) {
    if (issues.full) break;
    if (object[key] === undefined) continue;
    given += 1;
    if (!fields.has(key)) issues.add([...path, key], `unknown field; expected one of ${names}`);
  }
  return given;
}

function fieldCheck(key: string, field: GraphQLInputField, isOneOf: boolean): FieldCheck {
  const check = checkOf(field.type);
  const isRequired = isRequiredInputField(field);
  const expected = String(getNamedType(field.type));
  return (object, path, issues) => {
    const value = object[key];
    if (value === undefined && !isRequired) return;
    path.push(key);
    check(value, path, issues);
    if (isOneOf && value === null) issues.add(path, `expected ${expected}, got null`);
    path.pop();
  };
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
