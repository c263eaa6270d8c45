import { messageOf } from '../../../src/errors.ts';
import type { ExecutionProvider } from '../../../src/models/manifest.ts';

export interface ProviderChoice {
  /** Those that are there, in the order in which they are wanted; at least one. */
  found: ExecutionProvider[];
  /** Those that are not, each with the reason. */
  missing: string[];
}

export interface ProvidersOptions {
  /** What this build of ONNX Runtime knows. Whether it works shows only when it is tried: it may want a library or a device. */
  known: readonly string[];
  /** Rejects where it does not work. */
  attempt(provider: ExecutionProvider): Promise<unknown>;
}

/** Finds out which execution providers are there; each is tried once, since a process does not see devices come. */
export class Providers {
  readonly #options: ProvidersOptions;
  /** Why one is not there; `undefined` if it is. */
  readonly #tried = new Map<string, Promise<string | undefined>>();

  constructor(options: ProvidersOptions) {
    this.#options = options;
  }

  /** Throws where none is there, and says what is. */
  async choose(wanted: readonly ExecutionProvider[]): Promise<ProviderChoice> {
    const faults = await Promise.all(wanted.map((provider) => this.#faultOf(provider)));
    const found = wanted.filter((_, i) => faults[i] === undefined);
    const missing = wanted.flatMap((provider, i) =>
      faults[i] === undefined ? [] : [`${nameOf(provider)}: ${faults[i]}`],
    );
    if (found.length > 0) return { found, missing };
    throw new Error(
      `executionProviders: none is available (${missing.join('; ')}); expected one of ${await this.#there()}`,
    );
  }

  async #there(): Promise<string> {
    const { known } = this.#options;
    const faults = await Promise.all(known.map((name) => this.#faultOf({ name })));
    return known.filter((_, i) => faults[i] === undefined).join(', ') || 'none at all';
  }

  #faultOf(provider: ExecutionProvider): Promise<string | undefined> {
    const name = nameOf(provider);
    const fault = this.#tried.get(name) ?? this.#attempt(provider);
    this.#tried.set(name, fault);
    return fault;
  }

  async #attempt(provider: ExecutionProvider): Promise<string | undefined> {
    const { known, attempt } = this.#options;
    if (!known.includes(provider.name)) return 'unknown to this build of ONNX Runtime';
    try {
      await attempt(provider);
      return undefined;
    } catch (error) {
      return messageOf(error).replace(/\s+/g, ' ').trim();
    }
  }
}

function nameOf({ name, deviceId }: ExecutionProvider): string {
  return deviceId === undefined ? name : `${name} ${deviceId}`;
}
