import { z } from 'zod';
import { complain } from './command.ts';
import { TASK_FIELDS, type TaskAnswer, taskSchema } from './followed-task.ts';
import { ask, Refusal, type Server } from './server.ts';

export const FIELDS_OPTION = {
  value: 'FIELDS',
  purpose: "fields of the prediction to print, as GraphQL selects them: 'label probabilities { setosa }'; default: all",
};

/** The code of a server whose introspection is off. */
const INTROSPECTION_REFUSED = 'GRAPHQL_VALIDATION_FAILED';

const TENSOR = 'name datatype shape floats ints longs booleans strings base64';
/** Selections that need no introspection. */
const SELECTIONS: Record<string, string> = { Tensor: TENSOR, TensorsPrediction: `outputs { ${TENSOR} }` };

/**
 * The task with its prediction, if it has one. Introspection gives the fields of the prediction. If it is off,
 * the result has only the name of the type, and a line on standard error says what to do.
 */
export async function withPrediction(
  server: Server,
  task: TaskAnswer,
  fields: string | undefined,
): Promise<TaskAnswer> {
  if (!task.prediction) return task;
  const { __typename: typename } = task.prediction;
  const selection = fields ?? (await selectionOf(server, typename));
  if (selection === undefined) {
    complain(
      `the server does not list its types (introspection is off); name the fields of ${typename} with --fields 'a b { c }'`,
    );
    return task;
  }
  const query = `query ($id: ID!) { result(id: $id) { ${TASK_FIELDS} prediction { ... on ${typename} { ${selection} } } } }`;
  const { result } = await ask(server, z.object({ result: taskSchema.nullable() }), query, { id: task.id });
  if (!result) throw new Error(`task ${task.id} is gone: the server no longer keeps it`);
  return result;
}

const namedType = z.object({ kind: z.string(), name: z.string().nullable() });
type TypeReference = z.infer<typeof namedType> & { ofType?: TypeReference | null | undefined };
const typeReference: z.ZodType<TypeReference> = namedType.extend({
  get ofType() {
    return typeReference.nullish();
  },
});
const introspected = z.object({
  __type: z.object({ fields: z.array(z.object({ name: z.string(), type: typeReference })).nullable() }).nullable(),
});

/** A tensor of so many dimensions, each a list of what is never null, is still known by its elements. */
const WRAPPINGS = 12;
const TYPE = `${'kind name ofType { '.repeat(WRAPPINGS)}kind name${' }'.repeat(WRAPPINGS)}`;

/** All fields of a type, including those of its objects; `undefined` if introspection is off. */
async function selectionOf(server: Server, typename: string): Promise<string | undefined> {
  const known = SELECTIONS[typename];
  if (known !== undefined) return known;
  const query = `query ($name: String!) { __type(name: $name) { fields { name type { ${TYPE} } } } }`;
  try {
    const { __type } = await ask(server, introspected, query, { name: typename });
    const fields = await Promise.all(
      (__type?.fields ?? []).map(async ({ name, type }) => {
        const element = elementOf(type);
        return element.kind === 'OBJECT' ? `${name} { ${await selectionOf(server, element.name ?? '')} }` : name;
      }),
    );
    return fields.join(' ');
  } catch (error) {
    if (error instanceof Refusal && error.codes.includes(INTROSPECTION_REFUSED)) return undefined;
    throw error;
  }
}

function elementOf(type: TypeReference): TypeReference {
  return type.ofType ? elementOf(type.ofType) : type;
}

/** One line of JSON: what is absent is left out, and the bytes of a tensor where its elements say the same. */
export function lineOf(task: TaskAnswer): string {
  return `${JSON.stringify(task, (_key, value: unknown) => shown(value))}\n`;
}

function shown(value: unknown): unknown {
  if (value === null) return undefined;
  if (typeof value !== 'object' || !('base64' in value) || !('datatype' in value)) return value;
  const { base64, ...tensor } = value;
  const isSaid = ['floats', 'ints', 'longs', 'booleans', 'strings'].some((name) => Object(tensor)[name] != null);
  return isSaid ? tensor : { ...tensor, base64 };
}
