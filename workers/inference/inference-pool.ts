import assert from 'node:assert/strict';
import { createListeners } from '../../src/async/listeners.ts';
import type { Sharing } from '../../src/models/sharing.ts';
import type { Log } from '../../src/process/log.ts';
import type { Tensor } from '../../src/tensor/tensor.ts';
import type { Answered, AskOptions } from './inference-child.ts';
import type { DeclaredSignature, InferenceRequest, ModelFile, RunAlone, WarmUp } from './inference-messages.ts';
import { InferenceSlot } from './inference-slot.ts';
import type { Probe, ProbeReport } from './probe.ts';
import { poolClosed, RunError } from './run-error.ts';
import type { SessionsReport } from './sessions.ts';
import type { SharingPlan } from './sharing-proof.ts';
import { WaitingRequests } from './waiting-requests.ts';

/** The inference processes of a worker: each runs one batch at a time; one that dies or has to be killed is replaced. */
export interface InferencePool {
  /** Processes that would begin at once with what they are given. */
  idle(): number;
  /** Calls `listener` whenever a process has become idle; returns the function that ends it. */
  onIdle(listener: () => void): () => void;
  /**
   * Runs a model; waits its turn where no process is idle. `timeoutMs` covers the run alone, not the wait and not the loading.
   * Rejects with a `RunError`: MODEL_ERROR (also where it took too much memory, and the process was killed), TIMEOUT (likewise), or WORKER_LOST (it died). When `signal` aborts it
   * rejects with its reason at once, and the process is killed, if the run had one. `again` is run alone right after it, in the same
   * process and within the same time of its own.
   */
  run(model: ModelFile, inputs: Tensor[], options: RunOptions): Promise<PoolRun>;
  /** Loads a model and reads what it takes and gives. */
  inspect(model: ModelFile): Promise<DeclaredSignature>;
  /**
   * Runs a model to learn what it takes; resolves with what it said of each run. `timeoutMs` covers all of them. Rejects as `run` does
   * where the process is lost over it.
   */
  probe(model: ModelFile, probe: Probe, options: AskOptions): Promise<ProbeReport>;
  /** Finds out by experiment whether the rows of a model are independent. `timeoutMs` covers all of it; rejects as `probe` does. */
  prove(model: ModelFile, plan: SharingPlan, options: AskOptions): Promise<Sharing>;
  /**
   * Has every process load a model and run it, now, and every process that is to take the place of one, before it takes work.
   * Resolves when all have; rejects with the `RunError` of the first run that fails, and it is as if nothing had been asked.
   */
  warmUp(warmUp: WarmUp): Promise<void>;
  /** Processes that are started from now on do not do this. */
  coolDown(warmUp: WarmUp): void;
  /** Whether no process at all can be started at present: what is asked then is refused with WORKER_LOST. */
  isFailing(): boolean;
  /** Calls `listener` whenever `isFailing` says otherwise than before; returns the function that ends it. */
  onFailing(listener: () => void): () => void;
  /** Processes that had to be replaced so far. */
  restarts(): number;
  /** The models that its processes have loaded, each in as many of them as it ran in. */
  sessions(): SessionsReport;
  pids(): number[];
  /** Kills every process, busy or not; resolves when they are gone. */
  close(): Promise<void>;
}

export interface RunOptions extends AskOptions {
  again?: readonly Tensor[] | undefined;
}

export interface PoolRun {
  outputs: Tensor[];
  /** Milliseconds in ONNX Runtime. */
  runMs: number;
  /** What came of `again`, where there was any. */
  again?: RunAlone | undefined;
}

const MEMORY_BYTES = 4 * 1024 * 1024 * 1024;
const RUN_MEMORY_BYTES = 2 * 1024 * 1024 * 1024;

export interface InferencePoolOptions {
  /** Processes. */
  slots: number;
  /** What all of them together may take on for the models that they have loaded, shared out evenly. @default 4 GiB */
  memoryBytes?: number;
  /** What each may take beyond its part of that while it runs a model; more ends it, and the run. Watched on Linux only. @default 2 GiB */
  runMemoryBytes?: number;
  log: Log;
}

export function createInferencePool(options: InferencePoolOptions): InferencePool {
  const { slots: count, memoryBytes = MEMORY_BYTES, runMemoryBytes = RUN_MEMORY_BYTES, log } = options;
  const waiting = new WaitingRequests();
  const idle = createListeners();
  const failing = createListeners();
  let isFailing = false;
  let closed = false;

  const onIdle = (slot: InferenceSlot) => {
    if (!waiting.begin(slot)) idle.call();
  };
  const onHealth = () => {
    const before = isFailing;
    isFailing = slots.every((slot) => slot.isFailing);
    if (isFailing === before) return;
    if (isFailing) {
      log.error({ slots: count }, 'no inference process can be started: the worker takes nothing until one can');
      waiting.rejectAll(noProcess);
    } else log.info({ slots: count }, 'inference processes can be started again');
    failing.call();
  };
  const warmUps = new Set<WarmUp>();
  const memory = { memoryBytes: Math.floor(memoryBytes / count), runMemoryBytes };
  const slotOptions = { warmUps, memory, onIdle, onHealth, log };
  const slots = Array.from({ length: count }, () => new InferenceSlot(slotOptions));

  function ask(request: InferenceRequest, options: AskOptions): Promise<Answered> {
    if (options.signal?.aborted) return Promise.reject(options.signal.reason);
    if (closed) return Promise.reject(poolClosed());
    if (isFailing) return Promise.reject(noProcess());
    const slot = slots.find((each) => each.isIdle);
    return slot ? slot.ask(request, options) : waiting.add(request, options);
  }

  return {
    ...requestsBy(ask),
    idle: () => slots.filter((slot) => slot.isIdle).length,
    onIdle: idle.add,
    async warmUp(warmUp) {
      if (closed) throw poolClosed();
      warmUps.add(warmUp);
      try {
        await Promise.all(slots.map((slot) => slot.warm(warmUp)));
      } catch (error) {
        warmUps.delete(warmUp);
        throw error;
      }
    },
    coolDown: (warmUp) => void warmUps.delete(warmUp),
    isFailing: () => isFailing,
    onFailing: failing.add,
    restarts: () => slots.reduce((sum, { restarts }) => sum + restarts, 0),
    sessions: () => slots.map((slot) => slot.sessions).reduce(sumOf),
    pids: () => slots.flatMap(({ pid }) => pid ?? []),
    async close() {
      closed = true;
      waiting.rejectAll(poolClosed);
      await Promise.all(slots.map((slot) => slot.close()));
    },
  };
}

/** What can be asked of a process, each with the answer that belongs to it. */
function requestsBy(
  ask: (request: InferenceRequest, options: AskOptions) => Promise<Answered>,
): Pick<InferencePool, 'run' | 'inspect' | 'probe' | 'prove'> {
  return {
    async run(model, inputs, { again, ...options }) {
      const answer = await ask({ type: 'run', model, inputs, again }, options);
      assert(answer.type === 'ran');
      return { outputs: answer.outputs, runMs: answer.runMs, again: answer.again };
    },
    async inspect(model) {
      const answer = await ask({ type: 'inspect', model }, { timeoutMs: 0 });
      assert(answer.type === 'inspected');
      return answer.signature;
    },
    async probe(model, probe, options) {
      const answer = await ask({ type: 'probe', model, probe }, options);
      assert(answer.type === 'probed');
      return answer.report;
    },
    async prove(model, plan, options) {
      const answer = await ask({ type: 'prove', model, plan }, options);
      assert(answer.type === 'proven');
      return answer.sharing;
    },
  };
}

function noProcess(): RunError {
  return new RunError('WORKER_LOST', 'no inference process could be started');
}

function sumOf(one: SessionsReport, other: SessionsReport): SessionsReport {
  return {
    loaded: one.loaded + other.loaded,
    bytes: one.bytes + other.bytes,
    loads: one.loads + other.loads,
    evictions: one.evictions + other.evictions,
  };
}
