import { createHash } from 'node:crypto';
import { isWeakKey } from './weak-key.ts';

/** The owner of all tasks if no keys are set. */
export const ANONYMOUS = 'anonymous';

/** Keys long enough to be random ones: only then is a fast hash a safe way to keep them. */
const KEY_LENGTH_MIN = 24;

/** Says of an `Authorization` header whether its key has just been taken away from its owner. */
export type IsRevoked = (authorization: string | undefined) => boolean;

interface Owner {
  owner: string;
  /** Whether the key can be guessed; the key itself is not kept. */
  isWeak: boolean;
}

type Owners = ReadonlyMap<string, Owner>;

/**
 * The keys that open the API: those of API_KEYS, which stay, and those of API_KEYS_FILE, which may be replaced. Kept as SHA-256 hashes: a heap
 * dump or a log of this object gives none of them away.
 */
export class ApiKeys {
  readonly #inline: Owners;
  readonly #listeners = new Set<(isRevoked: IsRevoked) => void>();
  #owners: Owners;

  private constructor(inline: Owners, owners: Owners) {
    this.#inline = inline;
    this.#owners = owners;
  }

  /**
   * Those of API_KEYS.
   * @param text `owner:key` pairs, separated by commas or lines; a line that starts with `#` is a comment
   * @throws Error that says which pair is wrong, never what the key is
   */
  static parse(text: string): ApiKeys {
    const inline = addPairs(text, new Map());
    return new ApiKeys(inline, inline);
  }

  /** One key. @throws Error that says what is wrong with it */
  static of(owner: string, key: string): ApiKeys {
    const owners = new Map<string, Owner>();
    addKey(owner, key, owners);
    return new ApiKeys(owners, owners);
  }

  /** Whether any key is set: then every operation needs one. It stays as it was at the start. */
  get required(): boolean {
    return this.#owners.size > 0;
  }

  /** The owners that have a weak key, each once. */
  get weakOwners(): string[] {
    return [...new Set([...this.#owners.values()].flatMap(({ owner, isWeak }) => (isWeak ? owner : [])))];
  }

  /** Whose key an `Authorization` header carries; `undefined` if it carries none that is known. */
  ownerOf(authorization: string | undefined): string | undefined {
    const hash = hashIn(authorization);
    // A lookup by hash: how long it takes says nothing about the key itself.
    return hash === undefined ? undefined : this.#owners.get(hash)?.owner;
  }

  /**
   * Replaces the keys of API_KEYS_FILE, and tells listeners which keys are gone.
   * @returns how many keys came and how many went
   * @throws Error, having changed nothing, if the text has no key at all (an emptied file must not lock out all callers) or a wrong one
   */
  replaceFile(fileText: string): { added: number; removed: number } {
    const after = addPairs(fileText, this.#inline);
    if (after.size === this.#inline.size) throw noPairs();
    const before = this.#owners;
    const changed = (of: Owners, other: Owners) =>
      new Set([...of].flatMap(([hash, { owner }]) => (other.get(hash)?.owner === owner ? [] : hash)));
    const [added, removed] = [changed(after, before), changed(before, after)];
    this.#owners = after;
    const isRevoked: IsRevoked = (authorization) => removed.has(hashIn(authorization) ?? '');
    if (removed.size > 0) for (const listener of this.#listeners) listener(isRevoked);
    return { added: added.size, removed: removed.size };
  }

  /** Calls `listener` when keys were taken away; returns the function that ends it. */
  watch(listener: (isRevoked: IsRevoked) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }
}

/** The error for a setting that has no keys. */
export function noPairs(): Error {
  return new Error('expected owner:key pairs, but there are none');
}

function addPairs(text: string, known: Owners): Owners {
  const lines = text.split('\n').filter((line) => !line.trimStart().startsWith('#'));
  const pairs = lines.flatMap((line) => line.split(',')).map((pair) => pair.trim());
  const owners = new Map(known);
  for (const [i, pair] of pairs.filter((one) => one !== '').entries()) {
    const colon = pair.indexOf(':');
    const owner = pair.slice(0, colon).trim();
    if (colon < 0 || owner === '') throw new Error(`expected owner:key, but pair ${i + 1} has no owner`);
    addKey(owner, pair.slice(colon + 1).trim(), owners);
  }
  return owners;
}

function addKey(owner: string, key: string, owners: Map<string, Owner>): void {
  if (key.length < KEY_LENGTH_MIN)
    throw new Error(`the key of "${owner}" is shorter than ${KEY_LENGTH_MIN} characters`);
  if (!/^[\x21-\x7e]+$/.test(key)) throw new Error(`the key of "${owner}" has characters that a header cannot carry`);
  if (owners.has(hashOf(key))) throw new Error(`the key of "${owner}" is given twice`);
  owners.set(hashOf(key), { owner, isWeak: isWeakKey(key, owner) });
}

function hashIn(authorization: string | undefined): string | undefined {
  const [, key] = /^Bearer +(\S+) *$/i.exec(authorization ?? '') ?? [];
  return key === undefined ? undefined : hashOf(key);
}

function hashOf(key: string): string {
  return createHash('sha256').update(key).digest('hex');
}
