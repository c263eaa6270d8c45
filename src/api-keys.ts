import { createHash } from 'node:crypto';

/** Whose tasks they are where no keys are set: everyone's. */
export const ANONYMOUS = 'anonymous';

/** Keys long enough to be random ones: only then is a fast hash a safe way to keep them. */
const KEY_LENGTH_MIN = 24;

/** The keys that open the API. Kept as SHA-256 hashes: a heap dump or a log of this object gives none of them away. */
export class ApiKeys {
  readonly #ownerByHash: ReadonlyMap<string, string>;

  private constructor(ownerByHash: ReadonlyMap<string, string>) {
    this.#ownerByHash = ownerByHash;
  }

  /**
   * @param text `owner:key` pairs, apart by commas or lines; a line that starts with `#` is a comment
   * @throws Error that says which pair is wrong, never what the key is
   */
  static parse(text: string): ApiKeys {
    const lines = text.split('\n').filter((line) => !line.trimStart().startsWith('#'));
    const pairs = lines.flatMap((line) => line.split(',')).map((pair) => pair.trim());
    const owners = new Map<string, string>();
    for (const [i, pair] of pairs.filter((one) => one !== '').entries()) {
      const colon = pair.indexOf(':');
      const owner = pair.slice(0, colon).trim();
      const key = pair.slice(colon + 1).trim();
      if (colon < 0 || owner === '') throw new Error(`expected owner:key, but pair ${i + 1} has no owner`);
      if (key.length < KEY_LENGTH_MIN)
        throw new Error(`the key of "${owner}" is shorter than ${KEY_LENGTH_MIN} characters`);
      if (!/^[\x21-\x7e]+$/.test(key))
        throw new Error(`the key of "${owner}" has characters that a header cannot carry`);
      if (owners.has(hash(key))) throw new Error(`the key of "${owner}" is given twice`);
      owners.set(hash(key), owner);
    }
    return new ApiKeys(owners);
  }

  /** Whether any key is set: then every operation needs one. */
  get required(): boolean {
    return this.#ownerByHash.size > 0;
  }

  /** Whose key an `Authorization` header carries; `undefined` if it carries none that is known. */
  ownerOf(authorization: string | undefined): string | undefined {
    const [, key] = /^Bearer +(\S+) *$/i.exec(authorization ?? '') ?? [];
    // A lookup by hash: how long it takes says nothing about the key itself.
    return key === undefined ? undefined : this.#ownerByHash.get(hash(key));
  }
}

function hash(key: string): string {
  return createHash('sha256').update(key).digest('hex');
}
