import assert from 'node:assert/strict';
import { backOffMs } from '../../src/async/back-off.ts';
import type { Log } from '../../src/process/log.ts';
import { type Answered, type AskOptions, InferenceChild, type ProcessMemory } from './inference-child.ts';
import type { InferenceRequest, WarmUp } from './inference-messages.ts';
import { poolClosed, RunError } from './run-error.ts';
import type { SessionsReport } from './sessions.ts';

/** Pause before a process is started again that ended without having been asked anything: doubled each time. */
const RESTART = { minMs: 100, maxMs: 30_000 };

/** So many in a row are no accident: the machine has no process, descriptor or memory left for another, or its files are gone. */
const FAILURES_MAX = 3;

export interface InferenceSlotOptions {
  memory: ProcessMemory;
  /** What each process is to do before it takes any work, as it is when the process starts. */
  warmUps: ReadonlySet<WarmUp>;
  /** Called each time that the slot can be asked again. */
  onIdle(slot: InferenceSlot): void;
  /** Called when `isFailing` may say otherwise than before. */
  onHealth(): void;
  log: Log;
}

/** A warm-up that the process has still to do; `asked` where somebody waits for its end. */
interface Cold {
  warmUp: WarmUp;
  asked?: PromiseWithResolvers<void>;
}

/** A place for one inference process, which is replaced when it ends, and while it is idle when it holds too much. */
export class InferenceSlot {
  readonly #options: InferenceSlotOptions;
  readonly #gone = Promise.withResolvers<void>();
  #child: InferenceChild | undefined;
  #state: 'starting' | 'warming' | 'idle' | 'busy' | 'closed' = 'starting';
  #cold: Cold[] = [];
  /** Those that a process was lost over: the next ones do without. */
  readonly #lethal = new Set<WarmUp>();
  /** Processes in a row that ended before they were asked anything. */
  #failures = 0;
  #restarts = 0;
  #restart: NodeJS.Timeout | undefined;
  /** Of the processes that were here before. */
  #before = { loads: 0, evictions: 0 };

  constructor(options: InferenceSlotOptions) {
    this.#options = options;
    this.#start();
  }

  get isIdle(): boolean {
    return this.#state === 'idle';
  }

  /** Whether no process can be started here at present; it is tried again and again. */
  get isFailing(): boolean {
    return this.#state === 'starting' && this.#failures >= FAILURES_MAX;
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  get restarts(): number {
    return this.#restarts;
  }

  /** Loads and evictions are counted over all its processes. */
  get sessions(): SessionsReport {
    const { loaded = 0, bytes = 0, loads = 0, evictions = 0 } = this.#child?.sessions ?? {};
    return { loaded, bytes, loads: this.#before.loads + loads, evictions: this.#before.evictions + evictions };
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
      if (error instanceof RunError && !error.isLethal) this.#becomeIdle();
      throw error;
    }
  }

  /** Has the process do this before anything else that has not begun; rejects with the `RunError` of a run that fails. */
  warm(warmUp: WarmUp): Promise<void> {
    const asked = Promise.withResolvers<void>();
    this.#cold.push({ warmUp, asked });
    if (this.isIdle) this.#becomeIdle();
    return asked.promise;
  }

  /** Kills the process; resolves when it is gone. */
  async close(): Promise<void> {
    this.#state = 'closed';
    for (const { asked } of this.#cold.splice(0)) asked?.reject(poolClosed());
    clearTimeout(this.#restart);
    if (this.#child) this.#child.kill('the worker closed it');
    else this.#gone.resolve();
    await this.#gone.promise;
  }

  #start(): void {
    const { memory, warmUps, log } = this.#options;
    const asked = this.#cold.filter((cold) => cold.asked);
    const known = new Set([...this.#lethal, ...asked.map(({ warmUp }) => warmUp)]);
    this.#cold = [...[...warmUps].filter((warmUp) => !known.has(warmUp)).map((warmUp) => ({ warmUp })), ...asked];
    const child = new InferenceChild(memory, {
      onReady: () => this.#becomeIdle(),
      onExit: (how) => this.#replace(how),
      onNoted: (message, fields) => log.warn({ inferencePid: child.pid, ...fields }, message),
    });
    this.#child = child;
  }

  #becomeIdle(): void {
    if (this.#state === 'closed') return;
    const worn = this.#child?.sessions.worn;
    // One that is worn by its warm-up is of no more use than the next would be, and the next than the one after it.
    if (worn !== undefined && this.#state === 'busy') {
      // Nothing runs in it, so nobody is charged.
      this.#child?.kill(worn);
      return;
    }
    const cold = this.#cold.shift();
    if (cold) {
      void this.#warm(cold);
      return;
    }
    this.#state = 'idle';
    this.#options.onHealth();
    this.#options.onIdle(this);
  }

  /** Does not reject. */
  async #warm({ warmUp, asked }: Cold): Promise<void> {
    this.#state = 'warming';
    const fault = await runAll(this.#child, warmUp);
    if (!fault) asked?.resolve();
    else if (asked) asked.reject(fault);
    else this.#options.log.error({ file: warmUp.model.file, err: fault }, 'warm-up of a new inference process failed');
    if (!fault?.isLethal) this.#becomeIdle();
    else if (!asked) this.#lethal.add(warmUp);
  }

  #replace(how: string): void {
    const inferencePid = this.pid;
    const { loads, evictions } = this.sessions;
    this.#before = { loads, evictions };
    this.#child = undefined;
    if (this.#state === 'closed') {
      this.#gone.resolve();
      return;
    }
    // One that was lost at work is replaced at once: that is no more often than work comes.
    const delayMs = this.#state === 'busy' ? 0 : backOffMs(RESTART, this.#failures++);
    this.#state = 'starting';
    this.#restarts += 1;
    this.#options.log.warn({ inferencePid, how, delayMs }, 'inference process ended');
    this.#restart = setTimeout(() => this.#start(), delayMs);
    this.#options.onHealth();
  }
}

/** What went wrong in the first of its runs that failed. */
async function runAll(child: InferenceChild | undefined, warmUp: WarmUp): Promise<RunError | undefined> {
  const { model, timeoutMs } = warmUp;
  for (const [i, inputs] of warmUp.inputs.entries()) {
    try {
      await child?.ask({ type: 'run', model, inputs }, { timeoutMs });
    } catch (error) {
      if (error instanceof RunError) return new RunError(error.code, `warmUp.${i}: ${error.message}`, error.isLethal);
      throw error;
    }
  }
  return undefined;
}
