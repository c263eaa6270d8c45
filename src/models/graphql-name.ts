import { createHash } from 'node:crypto';

/**
 * Hands out GraphQL names for foreign ones: valid, readable, never twice. Which of two that would be the same gets the
 * hash of its original depends on the order of the claims alone, so whoever claims in a fixed order gets the same names on
 * every replica.
 */
export class GraphQLNames {
  readonly #taken: Set<string>;

  constructor(reserved: Iterable<string> = []) {
    this.#taken = new Set(reserved);
  }

  /** @param wanted what the name should be, where it is more than the valid form of `original` */
  claim(original: string, wanted: string = validName(original)): string {
    // Two underscores at the beginning are GraphQL's own.
    const stem = wanted.endsWith('_') ? wanted : `${wanted}_`;
    let name = wanted;
    for (let salt = original; this.#isTaken(name); salt += '/') name = stem + hashOf(salt);
    this.#taken.add(name);
    return name;
  }

  /** What every object has by itself, such as `constructor`, would be found also in an input that lacks the field. */
  #isTaken(name: string): boolean {
    return this.#taken.has(name) || name in Object.prototype;
  }
}

/** GraphQL names for a set of foreign ones, a function of the set alone: names that are valid as they are come first. */
export function graphqlNames(originals: Iterable<string>, reserved: Iterable<string> = []): Map<string, string> {
  const names = new GraphQLNames(reserved);
  const sorted = [...new Set(originals)].sort((a, b) => Number(isValid(b)) - Number(isValid(a)) || (a < b ? -1 : 1));
  return new Map(sorted.map((original) => [original, names.claim(original)]));
}

function isValid(name: string): boolean {
  return validName(name) === name;
}

/** `my model.v2` → `my_model_v2`, `3d` → `_3d`, `été` → `ete`; a name that nothing is left of becomes a hash. */
function validName(original: string): string {
  const words = original
    .normalize('NFKD')
    .replace(/\p{Mark}/gu, '')
    .replace(/[^A-Za-z0-9_]+/g, '_');
  // Two leading underscores are GraphQL's own; those that stood for foreign characters at either end say nothing.
  const trimmed = words === original ? words.replace(/^_{2,}/, '_') : words.replace(/^_+|_+$/g, '');
  if (trimmed === '') return `_${hashOf(original)}`;
  return /^[0-9]/.test(trimmed) ? `_${trimmed}` : trimmed;
}

function hashOf(original: string): string {
  return createHash('sha256').update(original).digest('hex').slice(0, 6);
}
