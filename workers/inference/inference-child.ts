import { type ChildProcess, fork } from 'node:child_process';
import { extname } from 'node:path';
import { childEnvironment } from '../../src/process/config.ts';
import type { InferenceAnswer, InferenceReply, InferenceRequest } from './inference-messages.ts';
import { MemoryWatch, offerToOomKiller, ownBytes } from './process-memory.ts';
import { RunError, RunLost } from './run-error.ts';
import type { SessionsReport } from './sessions.ts';

/** Beside this file, and of its kind: the package holds JavaScript, which Node demands below node_modules. */
const INFERENCE_PROCESS = new URL(`inference-process${extname(import.meta.filename)}`, import.meta.url);
/** Node and ONNX Runtime start in a tenth of a second; this is a machine on its knees. */
const BOOT_TIMEOUT_MS = 60_000;
/** A process that is idle hears at once what it is asked; one that was stopped from outside does not. */
const HEARD_TIMEOUT_MS = 10_000;
/**
 * glibc keeps what is freed, more of it the larger it was, so that a process that has loaded and released models would hold up to
 * twice what they need. A threshold that is set stays as it is, and what is freed goes back. Weights and activations are
 * in ONNX Runtime's own arenas, so that no run is slower for it.
 */
const MALLOC = { MALLOC_TRIM_THRESHOLD_: String(1024 * 1024) };

/**
 * ONNX Runtime tells Microsoft how it is used unless it is told not to: with a thread for it in each process, a number for this machine and a
 * database below the home directory, and a log in the temporary one.
 */
const QUIET = { ORT_DISABLE_TELEMETRY: '1' };

/** Under `node --watch` a process tells its parent what it imports, between its answers. */
const UNWATCHED = { WATCH_REPORT_DEPENDENCIES: undefined };

/** Hashing and loading a model, of gigabytes from a slow disk if need be, before its run begins. */
const LOAD_TIMEOUT_MS = 300_000;

export type Answered = Exclude<InferenceAnswer, { type: 'failed' }>;

/** What a process may take. */
export interface ProcessMemory {
  /** For its sessions. */
  memoryBytes: number;
  /** Beyond that, or beyond what its models hold where that is more, while it runs one. */
  runMemoryBytes: number;
}

const MIB = 1024 * 1024;

interface Events {
  /** It can be asked; called once. */
  onReady(): void;
  /** It is gone, for this reason; called once. */
  onExit(how: string): void;
  /** It has something to say that concerns no answer. */
  onNoted(message: string, fields: object): void;
}

export interface AskOptions {
  /** How long the run may take, without the loading of the model. */
  timeoutMs: number;
  signal?: AbortSignal | undefined;
}

interface Asked {
  resolve(answer: Answered): void;
  reject(reason: unknown): void;
  timeoutMs: number;
}

/** The worker's side of one inference process, from its start to its end. */
export class InferenceChild {
  readonly #process: ChildProcess;
  readonly #events: Events;
  #asked: Asked | undefined;
  #timer: NodeJS.Timeout | undefined;
  /** Why it is being killed. */
  #fault: string | undefined;
  /** As of its latest answer. */
  #sessions: SessionsReport = { loaded: 0, bytes: 0, loads: 0, evictions: 0 };

  readonly #memory: ProcessMemory;
  readonly #watch = new MemoryWatch(() => this.#exceed());
  /** What it takes for itself, and what it took when it had loaded a model last. */
  #bytes = { own: 0, loaded: 0 };
  /** Of its present run, or the last. */
  #limitBytes = 0;
  /** Whether a model was loaded for what is being asked. */
  #hasLoaded = false;

  /** @param program for tests */
  constructor(memory: ProcessMemory, events: Events, program = INFERENCE_PROCESS) {
    this.#events = events;
    this.#memory = memory;
    this.#process = fork(program, [String(memory.memoryBytes)], {
      serialization: 'advanced',
      // Not what this process was started with: the port of an inspector, for one, is taken.
      execArgv: ['--expose-gc'],
      env: { ...childEnvironment({ ...MALLOC, ...QUIET }), ...UNWATCHED },
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    });
    if (this.pid !== undefined) offerToOomKiller(this.pid);
    this.#process.on('message', (reply: InferenceReply) => this.#onReply(reply));
    this.#process.on('exit', (code, signal) => this.#end(signal ? `ended by ${signal}` : `exited with code ${code}`));
    this.#process.on('error', ({ code, message }: NodeJS.ErrnoException) => {
      // Clients may read it: the message says where Node lies.
      const fault = code ?? message;
      this.#kill(fault);
      // It never was: no `exit` follows.
      if (this.pid === undefined) this.#end(`could not be started: ${fault}`);
    });
    this.#limit(BOOT_TIMEOUT_MS, 'starting');
  }

  get pid(): number | undefined {
    return this.#process.pid;
  }

  get sessions(): SessionsReport {
    return this.#sessions;
  }

  /**
   * Asks one thing, once the process is ready and nothing else is being asked. Rejects with a `RunError`: MODEL_ERROR where the
   * process said so and goes on, or took too much memory and is being killed (`isLethal`); TIMEOUT where it is being killed for it; WORKER_LOST where it died. With the reason of `signal`
   * where that aborts: the process is killed, since nothing else ends a run.
   */
  async ask(request: InferenceRequest, { timeoutMs, signal }: AskOptions): Promise<Answered> {
    const { promise, resolve, reject } = Promise.withResolvers<Answered>();
    this.#asked = { resolve, reject, timeoutMs };
    const onAbort = () => {
      const asked = this.#settle();
      if (!asked) return;
      asked.reject(signal?.reason);
      this.#kill('its run was aborted');
    };
    signal?.addEventListener('abort', onAbort, { once: true });
    try {
      this.#limit(HEARD_TIMEOUT_MS, 'accepting the run');
      this.#process.send(request);
      return await promise;
    } finally {
      signal?.removeEventListener('abort', onAbort);
    }
  }

  kill(why: string): void {
    this.#kill(why);
  }

  #onReply(reply: InferenceReply): void {
    const { type } = reply;
    switch (reply.type) {
      case 'ready':
        clearTimeout(this.#timer);
        this.#bytes.own = this.#measure();
        this.#events.onReady();
        break;
      case 'loading':
        this.#hasLoaded = true;
        if (this.#asked) this.#limit(LOAD_TIMEOUT_MS, 'loading the model');
        break;
      case 'running':
        if (this.#asked) this.#beginRun(this.#asked);
        break;
      case 'noted':
        this.#events.onNoted(reply.message, reply.fields);
        break;
      case 'answered':
        this.#sessions = reply.sessions;
        this.#answer(reply.answer);
        break;
      default: {
        // A bug of ours, and no answer: what is being asked goes on within its time.
        reply satisfies never;
        this.#events.onNoted('reply of an inference process of unknown type', { type });
      }
    }
  }

  #answer(answer: InferenceAnswer): void {
    if (answer.type === 'failed') this.#settle()?.reject(new RunError('MODEL_ERROR', answer.message));
    else this.#settle()?.resolve(answer);
  }

  #beginRun({ timeoutMs }: Asked): void {
    this.#limit(timeoutMs, 'the run', RunLost);
    if (this.#hasLoaded) this.#bytes.loaded = this.#measure();
    this.#hasLoaded = false;
    const { own, loaded } = this.#bytes;
    const { memoryBytes, runMemoryBytes } = this.#memory;
    this.#limitBytes = Math.max(own + memoryBytes, loaded) + runMemoryBytes;
    if (this.pid !== undefined) this.#watch.begin(this.pid, this.#limitBytes);
  }

  #measure(): number {
    return this.pid === undefined ? 0 : (ownBytes(this.pid) ?? 0);
  }

  /** It would do so again, and the attempts would cost everybody: the model, or its task, is to blame, and the process is lost. */
  #exceed(): void {
    const mib = Math.floor(this.#limitBytes / MIB);
    const fault = `the run took more memory than its process may, ${mib} MiB; expected a smaller input`;
    this.#settle()?.reject(new RunError('MODEL_ERROR', fault, true));
    this.#kill(fault);
  }

  #limit(timeoutMs: number, what: string, Fault = RunError): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      const fault = `${what} took longer than ${timeoutMs} ms`;
      this.#settle()?.reject(new Fault('TIMEOUT', fault));
      this.#kill(fault);
    }, timeoutMs);
  }

  /** Ends what is being asked, which is then the caller's to answer. */
  #settle(): Asked | undefined {
    clearTimeout(this.#timer);
    this.#watch.end();
    const asked = this.#asked;
    this.#asked = undefined;
    return asked;
  }

  #kill(fault: string): void {
    this.#fault ??= fault;
    this.#process.kill('SIGKILL');
  }

  #end(how: string): void {
    const fault = this.#fault ?? how;
    this.#watch.close();
    this.#settle()?.reject(new RunLost('WORKER_LOST', `the inference process was lost: ${fault}`));
    this.#events.onExit(fault);
  }
}
