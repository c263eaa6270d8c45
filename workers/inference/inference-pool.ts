import assert from 'node:assert/strict';
import type { Log } from '../../src/log.ts';
import type { Tensor } from '../../src/tensor.ts';
import type { Answered, AskOptions } from './inference-child.ts';
import type { InferenceRequest, ModelFile, OnnxSignature } from './inference-messages.ts';
import { InferenceSlot } from './inference-slot.ts';
import { RunError } from './run-error.ts';
import type { SessionsReport } from './sessions.ts';

/** The inference processes of a worker: each runs one batch at a time; one that dies or has to be killed is replaced. */
export interface InferencePool {
  /** Processes that would begin at once with what they are given. */
  idle(): number;
  /** Calls `listener` whenever a process has become idle; returns the function that ends it. */
  onIdle(listener: () => void): () => void;
  /**
   * Runs a model; waits its turn where no process is idle. `timeoutMs` covers the run alone, not the wait and not the loading.
   * Rejects with a `RunError`: MODEL_ERROR, TIMEOUT (the process was killed), or WORKER_LOST (it died). When `signal` aborts it
   * rejects with its reason at once, and the process is killed, if the run had one.
   */
  run(model: ModelFile, inputs: Tensor[], options: AskOptions): Promise<PoolRun>;
  /** Loads a model and reads what it takes and gives. */
  inspect(model: ModelFile): Promise<OnnxSignature>;
  /** Processes that had to be replaced so far. */
  restarts(): number;
  /** The models that its processes have loaded, each in as many of them as it ran in. */
  sessions(): SessionsReport;
  pids(): number[];
  /** Kills every process, busy or not; resolves when they are gone. */
  close(): Promise<void>;
}

export interface PoolRun {
  outputs: Tensor[];
  /** Milliseconds in ONNX Runtime. */
  runMs: number;
}

interface Waiting {
  /** Called with a slot that is idle at this moment. */
  begin(slot: InferenceSlot): void;
  reject(reason: unknown): void;
}

const MEMORY_BYTES = 4 * 1024 * 1024 * 1024;

export interface InferencePoolOptions {
  /** Processes. */
  slots: number;
  /** What all of them together may take on for the models that they have loaded, shared out evenly. @default 4 GiB */
  memoryBytes?: number;
  log: Log;
}

export function createInferencePool(options: InferencePoolOptions): InferencePool {
  const { slots: count, memoryBytes = MEMORY_BYTES, log } = options;
  // As many as its callers have asked for and not been answered: they wait for each other.
  const waiting: Waiting[] = [];
  const listeners = new Set<() => void>();
  let closed = false;

  const onIdle = (slot: InferenceSlot) => {
    const next = waiting.shift();
    if (next) next.begin(slot);
    else for (const listener of listeners) listener();
  };
  const slotOptions = { memoryBytes: Math.floor(memoryBytes / count), onIdle, log };
  const slots = Array.from({ length: count }, () => new InferenceSlot(slotOptions));

  function ask(request: InferenceRequest, options: AskOptions): Promise<Answered> {
    const { signal } = options;
    if (signal?.aborted) return Promise.reject(signal.reason);
    if (closed) return Promise.reject(closedError());
    const idle = slots.find(({ isIdle }) => isIdle);
    if (idle) return idle.ask(request, options);
    const { promise, resolve, reject } = Promise.withResolvers<Answered>();
    const turn: Waiting = { begin: (slot) => resolve(slot.ask(request, options)), reject };
    const onAbort = () => {
      const place = waiting.indexOf(turn);
      if (place < 0) return;
      waiting.splice(place, 1);
      reject(signal?.reason);
    };
    signal?.addEventListener('abort', onAbort, { once: true });
    waiting.push(turn);
    return promise.finally(() => signal?.removeEventListener('abort', onAbort));
  }

  return {
    idle: () => slots.filter(({ isIdle }) => isIdle).length,
    onIdle(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    async run(model, inputs, options) {
      const answer = await ask({ type: 'run', model, inputs }, options);
      assert(answer.type === 'ran');
      return { outputs: answer.outputs, runMs: answer.runMs };
    },
    async inspect(model) {
      const answer = await ask({ type: 'inspect', model }, { timeoutMs: 0 });
      assert(answer.type === 'inspected');
      return answer.signature;
    },
    restarts: () => slots.reduce((sum, { restarts }) => sum + restarts, 0),
    sessions: () => slots.map((slot) => slot.sessions).reduce(sumOf),
    pids: () => slots.flatMap(({ pid }) => pid ?? []),
    async close() {
      closed = true;
      for (const { reject } of waiting.splice(0)) reject(closedError());
      await Promise.all(slots.map((slot) => slot.close()));
    },
  };
}

function closedError(): RunError {
  return new RunError('WORKER_LOST', 'the worker has closed its inference processes');
}

function sumOf(one: SessionsReport, other: SessionsReport): SessionsReport {
  return {
    loaded: one.loaded + other.loaded,
    bytes: one.bytes + other.bytes,
    loads: one.loads + other.loads,
    evictions: one.evictions + other.evictions,
  };
}
