/** What an inference process says of the models that it has loaded. */
export interface SessionsReport {
  loaded: number;
  /** What they hold, as far as it can be measured. */
  bytes: number;
  /** Since the process began. */
  loads: number;
  evictions: number;
  /** Why another process should take the place of this one, if one should: it holds what belongs to no session any more. */
  worn?: string | undefined;
}

export interface SessionsOptions<S> {
  /** What the process may take on for its sessions. One model that needs more than that is loaded all the same, alone. */
  budgetBytes: number;
  /** What the process holds at this moment, in bytes; a fresh measurement also counts no garbage. */
  measure(how: 'quickly' | 'freshly'): number;
  release(session: S): Promise<void>;
}

export interface SessionSource<S> {
  /** What the process certainly grows by. */
  leastBytes(): Promise<number>;
  load(): Promise<S>;
  /** Told where it turns out to be larger than the budget. */
  onTooLarge(bytes: number): void;
}

interface Held<S> {
  session: S;
  bytes: number;
  /** A first run takes memory of its own. */
  hasRun: boolean;
}

/** A session that grows beyond this many times what it took to load and run once is taken for one that leaks. */
const GROWTH_MAX = 2;

/** Node and ONNX Runtime take some as they go on, whatever the models. */
const OWN_GROWTH_BYTES = 64 * 1024 * 1024;

const MIB = 1024 * 1024;

/**
 * The models that stay loaded in one process, within a budget of bytes: the one used least recently makes room for another. What
 * one holds is what the process grew by while it was loaded and run once, and at least the size of its files, since what
 * was freed before may be used again without growing.
 */
export class Sessions<S> {
  readonly #options: SessionsOptions<S>;
  /** What the process held before it had any. */
  readonly #base: number;
  /** The one used least recently first. */
  readonly #held = new Map<string, Held<S>>();
  /** The one used last. */
  #latest: Held<S> | undefined;
  /** What the process held before the first run of that one. */
  #beforeRun = 0;
  /** What all of them hold. */
  #bytes = 0;
  #loads = 0;
  #evictions = 0;
  #worn: string | undefined;

  constructor(options: SessionsOptions<S>) {
    this.#options = options;
    this.#base = options.measure('freshly');
  }

  /** Whether a session is loaded. */
  has(key: string): boolean {
    return this.#held.has(key);
  }

  /** The session of a model, loaded if it is not; `key` names the very content that it is of. */
  async use(key: string, source: SessionSource<S>): Promise<S> {
    const held = this.#held.get(key) ?? (await this.#load(source));
    this.#held.delete(key);
    this.#held.set(key, held);
    this.#latest = held;
    await this.#makeRoom(0);
    if (!held.hasRun) this.#beforeRun = this.#options.measure('quickly');
    return held.session;
  }

  /** To be told after each run of the session used last: a run takes memory as well, and keeps much of it. */
  async ran(): Promise<void> {
    const { budgetBytes, measure } = this.#options;
    const latest = this.#latest;
    if (!latest) return;
    const bytes = measure('quickly');
    if (!latest.hasRun) {
      const grown = Math.max(0, bytes - this.#beforeRun);
      latest.bytes += grown;
      this.#bytes += grown;
      latest.hasRun = true;
      await this.#makeRoom(0);
    }
    // No garbage collection for a run that left nothing unusual behind.
    const allowed = Math.max(budgetBytes, GROWTH_MAX * latest.bytes);
    if (bytes - this.#base - OWN_GROWTH_BYTES <= (this.#held.size > 1 ? budgetBytes : allowed)) return;
    while (this.#held.size > 1 && this.#grown() > budgetBytes) await this.#evictOldest();
    // Nothing else can go: if it holds more than the one session needs, only another process gives that back.
    const grown = this.#grown();
    if (grown > allowed)
      this.#worn = `its runs left it with ${mib(grown)} MiB, of ${mib(allowed)} MiB that its model may hold`;
  }

  report(): SessionsReport {
    return {
      loaded: this.#held.size,
      bytes: this.#bytes,
      loads: this.#loads,
      evictions: this.#evictions,
      worn: this.#worn,
    };
  }

  async #load(source: SessionSource<S>): Promise<Held<S>> {
    const leastBytes = await source.leastBytes();
    await this.#makeRoom(leastBytes);
    const before = this.#options.measure('quickly');
    const session = await source.load();
    this.#loads += 1;
    const bytes = Math.max(leastBytes, this.#options.measure('quickly') - before);
    this.#bytes += bytes;
    if (bytes > this.#options.budgetBytes) source.onTooLarge(bytes);
    return { session, bytes, hasRun: false };
  }

  /** Evicts until so many bytes more fit; where nothing is to come, all but the one used last. */
  async #makeRoom(bytes: number): Promise<void> {
    const spared = bytes > 0 ? 0 : 1;
    while (this.#held.size > spared && this.#bytes + bytes > this.#options.budgetBytes) await this.#evictOldest();
  }

  async #evictOldest(): Promise<void> {
    const [oldest] = this.#held;
    if (!oldest) return;
    this.#held.delete(oldest[0]);
    this.#bytes -= oldest[1].bytes;
    this.#evictions += 1;
    await this.#options.release(oldest[1].session);
  }

  #grown(): number {
    return this.#options.measure('freshly') - this.#base - OWN_GROWTH_BYTES;
  }
}

function mib(bytes: number): number {
  return Math.round(bytes / MIB);
}
