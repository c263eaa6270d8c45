import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { z } from 'zod';
import { messageOf } from '../../src/errors.ts';
import { type Manifest, manifestSchema } from '../../src/models/manifest.ts';
import { ModelFault, mayPass } from './model-fault.ts';
import type { VersionFiles } from './model-tree.ts';
import { requireFile } from './own-files.ts';

/** Every API keeps what comes of it, for every registration. */
const MANIFEST_BYTES_MAX = 1024 * 1024;
/** Inputs of `example` and `warmUp` are lists as deep as their tensors have dimensions. */
const DEPTH_MAX = 64;
/** Enough to mend a manifest by. */
const ISSUES_MAX = 10;
const CHARS_MAX = 4_000;

/** Throws a `ModelFault` of the model, whatever its version. */
export async function readManifest({
  name,
  manifestFile,
}: Pick<VersionFiles, 'name' | 'manifestFile'>): Promise<Manifest> {
  const faulty = (fault: string, retryable = false) => new ModelFault({ name }, manifestFile, fault, retryable);
  const text = await textOf(manifestFile).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return '{}';
    throw faulty(error.message, mayPass(error));
  });
  let said: unknown;
  try {
    said = JSON.parse(text);
  } catch (error) {
    throw faulty(`expected JSON: ${messageOf(error)}`);
  }
  if (depthOf(text) > DEPTH_MAX) throw faulty(`expected at most ${DEPTH_MAX} lists and objects within each other`);
  const parsed = manifestSchema.safeParse(said);
  if (!parsed.success) throw faulty(describeIssues(parsed.error.issues));
  return parsed.data;
}

/** Whatever lies there: to open a pipe would otherwise wait for somebody to write to it. */
async function textOf(file: string): Promise<string> {
  const handle = await open(file, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const found = await handle.stat();
    requireFile(found);
    if (found.size > MANIFEST_BYTES_MAX) {
      throw new Error(`expected at most ${MANIFEST_BYTES_MAX} bytes, got ${found.size}`);
    }
    return await handle.readFile('utf8');
  } finally {
    await handle.close();
  }
}

/** Of JSON, how many lists and objects lie within each other. */
function depthOf(json: string): number {
  let [depth, deepest] = [0, 0];
  // Strings first: what stands in them counts for nothing.
  for (const [token] of json.matchAll(/"(?:[^"\\]|\\.)*"|[[\]{}]/gs)) {
    if (token === '[' || token === '{') depth += 1;
    else if (token === ']' || token === '}') depth -= 1;
    if (depth > deepest) deepest = depth;
  }
  return deepest;
}

function describeIssues(issues: readonly z.core.$ZodIssue[]): string {
  const more = issues.length > ISSUES_MAX ? `; and ${issues.length - ISSUES_MAX} more` : '';
  return issues.slice(0, ISSUES_MAX).map(describeIssue).join('; ').slice(0, CHARS_MAX) + more;
}

function describeIssue({ code, path, message }: z.core.$ZodIssue): string {
  const known = code === 'unrecognized_keys' ? keysAt(manifestSchema, path) : [];
  const expected = known.length > 0 ? `; expected some of ${known.join(', ')}` : '';
  return (path.length > 0 ? `${path.join('.')}: ${message}` : message) + expected;
}

/** The keys that an object in the manifest may have, by its place. */
function keysAt(schema: unknown, path: readonly PropertyKey[]): string[] {
  if (schema instanceof z.ZodOptional || schema instanceof z.ZodDefault) return keysAt(schema.unwrap(), path);
  const [key, ...rest] = path;
  if (schema instanceof z.ZodObject)
    return key === undefined ? Object.keys(schema.shape) : keysAt(schema.shape[String(key)], rest);
  if (schema instanceof z.ZodRecord) return keysAt(schema.valueType, rest);
  if (schema instanceof z.ZodArray) return keysAt(schema.element, rest);
  if (schema instanceof z.ZodUnion) return schema.options.flatMap((option) => keysAt(option, path));
  return [];
}
