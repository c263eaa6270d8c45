import { StoreUnavailable } from '../errors.ts';
import { UNFINISHED_TTL_MS } from './record.ts';

/** The most that inputs may take which wait in this process; more are refused, as a full Redis does. */
export const PAYLOAD_BYTES_MAX = 1024 * 1024 * 1024;

/** Inputs in this process's memory, with a bound on their bytes. */
export class MemoryPayloads {
  /** In the order they were put, so that the first is the first to go. */
  readonly #kept = new Map<string, { payload: Uint8Array; expiresAt: number }>();
  readonly #bytesMax: number;
  #bytes = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  put(id: string, payload: Uint8Array): number {
    const known = this.get(id);
    if (known) return known.byteLength;
    if (this.#bytes + payload.byteLength > this.#bytesMax) {
      throw new StoreUnavailable(`more than ${this.#bytesMax} bytes of inputs wait in this process`);
    }
    this.#bytes += payload.byteLength;
    this.#kept.set(id, { payload, expiresAt: Date.now() + UNFINISHED_TTL_MS });
    return payload.byteLength;
  }

  get(id: string): Uint8Array | undefined {
    return this.#kept.get(id)?.payload;
  }

  remove(id: string): void {
    this.#bytes -= this.get(id)?.byteLength ?? 0;
    this.#kept.delete(id);
  }

  /** Lets go of those whose time is over. */
  sweep(): void {
    const now = Date.now();
    for (const [id, { expiresAt }] of this.#kept) {
      if (expiresAt > now) break;
      this.remove(id);
    }
  }
}
