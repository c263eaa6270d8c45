import { GraphQLError } from 'graphql';
import type { GraphQLParams } from 'graphql-yoga';
import { UploadedFile } from '../../../media/media.ts';
import { isRecord, type Path } from '../../../models/input-issues.ts';
import type { GraphQLContext } from '../schema/builder.ts';
import { countJson } from './json-memory.ts';

/** The content type of a request with files. */
export const MULTIPART = /^multipart\/form-data\s*;/i;

/** Files of a request, and places that they are put at: as many as predictions in one operation. */
const FILES_MAX = 1_000;
const PATH_LENGTH_MAX = 1_000;

/** An operation that came with files, which stand in its variables now. */
export interface MultipartOperation {
  params: GraphQLParams;
  /** Where files stand: from the variable's name down. */
  places: Path[];
}

/** What a form's JSON is counted by, and its turn to be parsed. */
type FormLoad = Pick<GraphQLContext['load'], 'take' | 'turn'>;

/** What Yoga's request takes beside the standard. */
interface LimitedForm {
  formData(options: { formDataLimits: { fieldSize: number; fields: number; files: number } }): Promise<FormData>;
}

/**
 * Reads a request as the GraphQL multipart request specification writes it: `operations`, `map`, and the files. Throws an error with status
 * 400 for one that is not so. The body's size is bounded before.
 */
export async function readMultipart(
  request: Request,
  bodyLimitBytes: number,
  load: FormLoad,
): Promise<MultipartOperation> {
  const formDataLimits = { fieldSize: bodyLimitBytes, fields: 2, files: FILES_MAX };
  const form = await (request as Request & LimitedForm).formData({ formDataLimits }).catch((error: unknown) => {
    throw error instanceof GraphQLError
      ? error
      : refusal(`expected multipart/form-data of operations, map and at most ${FILES_MAX} files`);
  });
  const params = await jsonField(form, 'operations', load);
  const map = await jsonField(form, 'map', load);
  const files = [...form].filter(([name]) => name !== 'operations' && name !== 'map');
  for (const [name] of files) {
    if (!Object.hasOwn(map, name))
      throw refusal(`map: expected the paths of the file ${JSON.stringify(name.slice(0, 100))}`);
  }
  const places: Path[] = [];
  for (const [name, paths] of Object.entries(map)) {
    const file = form.get(name);
    if (file === null || typeof file === 'string')
      throw refusal(`map: there is no file ${JSON.stringify(name.slice(0, 100))}`);
    const uploaded = new UploadedFile(new Uint8Array(await file.arrayBuffer()));
    for (const path of pathsOf(paths)) {
      places.push(put(params, path, uploaded));
      if (places.length > FILES_MAX) throw refusal(`map: expected at most ${FILES_MAX} paths`);
    }
  }
  return { params, places };
}

async function jsonField(form: FormData, name: string, load: FormLoad): Promise<Record<string, unknown>> {
  const text = form.get(name);
  if (typeof text === 'string') await load.turn(text.length);
  try {
    if (typeof text === 'string') countJson(Buffer.from(text), load.take);
    const value: unknown = typeof text === 'string' ? JSON.parse(text) : undefined;
    if (isRecord(value)) return value;
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
  }
  throw refusal(`${name}: expected a field with a JSON object`);
}

function pathsOf(paths: unknown): string[] {
  if (Array.isArray(paths) && paths.every((path) => typeof path === 'string' && path.length <= PATH_LENGTH_MAX))
    return paths;
  throw refusal('map: expected a list of paths for each file, such as ["variables.image"]');
}

/**
 * Puts a file at the path, in place of the null that has to be there. Only what JSON has made itself is walked through, never what an object
 * has by nature: no path leads to a prototype.
 */
function put(params: Record<string, unknown>, path: string, file: UploadedFile): Path {
  const [root, ...keys] = path.split('.');
  const last = keys.pop();
  let inner: unknown = root === 'variables' ? own(params, 'variables') : undefined;
  for (const key of keys) inner = own(inner, key);
  const isNull = last !== undefined && own(inner, last) === null;
  if (!isNull || typeof inner !== 'object' || inner === null) {
    throw refusal(`map: expected a null in operations at ${JSON.stringify(path)}, as in variables.input.digits.image`);
  }
  Object.defineProperty(inner, last, { value: file });
  return [...keys, last].map((key) => (/^\d+$/.test(key) ? Number(key) : key));
}

function own(value: unknown, key: string): unknown {
  if (typeof value !== 'object' || value === null) return undefined;
  return Object.getOwnPropertyDescriptor(value, key)?.value;
}

function refusal(message: string): GraphQLError {
  return new GraphQLError(message, { extensions: { code: 'BAD_USER_INPUT', http: { status: 400 } } });
}
