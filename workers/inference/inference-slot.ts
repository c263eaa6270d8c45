import assert from 'node:assert/strict';
import type { Log } from '../../src/log.ts';
import { type Answered, type AskOptions, InferenceChild } from './inference-child.ts';
import type { InferenceRequest } from './inference-messages.ts';
import { RunError } from './run-error.ts';

/** Pause before a process is started again that ended without having been asked anything: doubled each time, with jitter. */
const RESTART_DELAY_MS = 100;
const RESTART_DELAY_MS_MAX = 30_000;

/** A place for one inference process, which is replaced when it ends. */
export class InferenceSlot {
  readonly #onIdle: (slot: InferenceSlot) => void;
  readonly #log: Log;
  readonly #gone = Promise.withResolvers<void>();
  #child: InferenceChild | undefined;
  #state: 'starting' | 'idle' | 'busy' | 'closed' = 'starting';
  /** Processes in a row that ended before they were asked anything. */
  #failures = 0;
  #restarts = 0;
  #restart: NodeJS.Timeout | undefined;

  /** `onIdle` is called each time that the slot can be asked again. */
  constructor(onIdle: (slot: InferenceSlot) => void, log: Log) {
    this.#onIdle = onIdle;
    this.#log = log;
    this.#start();
  }

  get isIdle(): boolean {
    return this.#state === 'idle';
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  get restarts(): number {
    return this.#restarts;
  }

  /** Asks the process one thing; only while `isIdle`. */
  async ask(request: InferenceRequest, options: AskOptions): Promise<Answered> {
    assert(this.#child && this.isIdle);
    this.#state = 'busy';
    this.#failures = 0;
    try {
      const answer = await this.#child.ask(request, options);
      this.#becomeIdle();
      return answer;
    } catch (error) {
      // A process that answered goes on; one that was killed or died is about to be replaced.
      if (error instanceof RunError && error.code === 'MODEL_ERROR') this.#becomeIdle();
      throw error;
    }
  }

  /** Kills the process; resolves when it is gone. */
  async close(): Promise<void> {
    this.#state = 'closed';
    clearTimeout(this.#restart);
    if (this.#child) this.#child.kill();
    else this.#gone.resolve();
    await this.#gone.promise;
  }

  #start(): void {
    this.#child = new InferenceChild({ onReady: () => this.#becomeIdle(), onExit: (how) => this.#replace(how) });
  }

  #becomeIdle(): void {
    if (this.#state === 'closed') return;
    this.#state = 'idle';
    this.#onIdle(this);
  }

  #replace(how: string): void {
    const inferencePid = this.pid;
    this.#child = undefined;
    if (this.#state === 'closed') {
      this.#gone.resolve();
      return;
    }
    // One that was lost at work is replaced at once: that is no more often than work comes.
    const delayMs = this.#state === 'busy' ? 0 : restartDelayMs(this.#failures++);
    this.#state = 'starting';
    this.#restarts += 1;
    this.#log.warn({ inferencePid, how, delayMs }, 'inference process ended');
    this.#restart = setTimeout(() => this.#start(), delayMs);
  }
}

function restartDelayMs(failures: number): number {
  return Math.min(RESTART_DELAY_MS_MAX, RESTART_DELAY_MS * 2 ** failures) * (0.5 + Math.random() / 2);
}
