import { readFileSync, writeFileSync } from 'node:fs';

/** A run takes a gigabyte in some 300 ms; each look takes 20 µs. */
const LOOK_EVERY_MS = 50;

/** Where memory runs out, the kernel is to end such a process before any other. */
const FIRST_CHOICE = '1000';

/**
 * What a process keeps of its own: without files that are mapped, such as weights, which the kernel can drop. `undefined` where the
 * system does not say so (only Linux does), and for a process that is gone.
 */
export function ownBytes(pid: number): number | undefined {
  try {
    const kib = /^RssAnon:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
    return kib === undefined ? undefined : Number(kib) * 1024;
  } catch {
    return undefined;
  }
}

/** Has the kernel end this process first where the machine's memory runs out; on Linux, and nothing elsewhere. */
export function offerToOomKiller(pid: number): void {
  try {
    writeFileSync(`/proc/${pid}/oom_score_adj`, FIRST_CHOICE);
  } catch {
    // No such file on other systems, or the process is gone.
  }
}

/** Looks at what a process takes while it runs something. Its timer outlasts short runs, so that these cost nothing. */
export class MemoryWatch {
  readonly #onExceeded: () => void;
  #timer: NodeJS.Timeout | undefined;
  /** What the process may take in its present run. */
  #limitBytes: number | undefined;

  /** @param onExceeded told once for each run, at most */
  constructor(onExceeded: () => void) {
    this.#onExceeded = onExceeded;
  }

  begin(pid: number, limitBytes: number): void {
    this.#limitBytes = limitBytes;
    this.#timer ??= setInterval(() => this.#look(pid), LOOK_EVERY_MS).unref();
  }

  end(): void {
    this.#limitBytes = undefined;
  }

  /** Its process is gone. */
  close(): void {
    clearInterval(this.#timer);
    this.end();
  }

  #look(pid: number): void {
    if (this.#limitBytes === undefined) {
      clearInterval(this.#timer);
      this.#timer = undefined;
    } else if ((ownBytes(pid) ?? 0) > this.#limitBytes) {
      this.end();
      this.#onExceeded();
    }
  }
}
