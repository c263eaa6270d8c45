import {
  type ExecutionArgs,
  type GraphQLError,
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

/** Where files were put, by the variables of their operation. */
const placesOf = new WeakMap<object, readonly Path[]>();

/** Has Yoga read files beside an operation, which are put into its variables. */
export function useUploads({ bodyLimitBytes }: { bodyLimitBytes: number }): Plugin<object, Given> {
  return {
    onRequestParse: ({ request, setRequestParser, serverContext }) => {
      if (request.method !== 'POST' || !MULTIPART.test(request.headers.get('content-type') ?? '')) return;
      setRequestParser(async (limited) => {
        const { params, places } = await readMultipart(limited, bodyLimitBytes, serverContext.load);
        if (params.variables) placesOf.set(params.variables, places);
        return params;
      });
    },
  };
}

/** Refuses files that stand elsewhere than where an Image is asked for. */
export function misplacedFiles(args: ExecutionArgs): GraphQLError | undefined {
  const places = placesOf.get(args.variableValues ?? {});
  if (!places) return undefined;
  const issues = new InputIssues();
  for (const place of places) checkPlace(args, place, issues);
  return issues.found ? toGraphQLError(issues) : undefined;
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
