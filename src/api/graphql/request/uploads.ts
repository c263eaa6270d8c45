import {
  type ExecutionArgs,
  type GraphQLInputType,
  getOperationAST,
  isInputObjectType,
  isInputType,
  isListType,
  isNonNullType,
  typeFromAST,
} from 'graphql';
import type { Plugin } from 'graphql-yoga';
import { InputIssues, type Path } from '../../../models/input-issues.ts';
import type { GraphQLContext } from '../schema/builder.ts';
import { toGraphQLError } from './errors.ts';
import { MULTIPART, readMultipart } from './multipart.ts';
import { argumentPath } from './variable-issues.ts';

type Given = Pick<GraphQLContext, 'load'>;

/** Files beside an operation: they are put into its variables, and may stand there only where an Image is asked for. */
export function useUploads({ bodyLimitBytes }: { bodyLimitBytes: number }): Plugin<object, Given> {
  const placesOf = new WeakMap<object, readonly Path[]>();
  const check = (args: ExecutionArgs, refuse: (result: { errors: ReturnType<typeof toGraphQLError>[] }) => void) => {
    const places = placesOf.get(args.variableValues ?? {}) ?? [];
    const issues = new InputIssues();
    for (const place of places) checkPlace(args, place, issues);
    if (issues.found) refuse({ errors: [toGraphQLError(issues)] });
  };
  return {
    onRequestParse: ({ request, setRequestParser, serverContext }) => {
      if (request.method !== 'POST' || !MULTIPART.test(request.headers.get('content-type') ?? '')) return;
      setRequestParser(async (limited) => {
        const { params, places } = await readMultipart(limited, bodyLimitBytes, serverContext.load);
        if (params.variables) placesOf.set(params.variables, places);
        return params;
      });
    },
    onExecute: ({ args, setResultAndStopExecution }) => check(args, setResultAndStopExecution),
    onSubscribe: ({ args, setResultAndStopExecution }) => check(args, setResultAndStopExecution),
  };
}

function checkPlace({ schema, document, operationName }: ExecutionArgs, place: Path, issues: InputIssues): void {
  const [name, ...rest] = place;
  const definitions = getOperationAST(document, operationName)?.variableDefinitions ?? [];
  const definition = definitions.find(({ variable }) => variable.name.value === name);
  if (!definition) {
    issues.add(place, `expected a variable of the operation, got a file for $${name}`);
    return;
  }
  const type = typeFromAST(schema, definition.type);
  const found = isInputType(type) ? rest.reduce(typeWithin, type) : undefined;
  const isImage = String(isNonNullType(found) ? found.ofType : found) === 'Image';
  if (!isImage)
    issues.add([...argumentPath(document, definition), ...rest], `expected ${found ?? 'nothing'}, got a file`);
}

/** The type at a key of a value of this type; `undefined` where there can be none. */
function typeWithin(type: GraphQLInputType | undefined, key: string | number): GraphQLInputType | undefined {
  if (type === undefined) return undefined;
  if (isNonNullType(type)) return typeWithin(type.ofType, key);
  if (isListType(type)) return typeof key === 'number' ? type.ofType : undefined;
  const fields = isInputObjectType(type) ? type.getFields() : {};
  return Object.hasOwn(fields, key) ? fields[key]?.type : undefined;
}
