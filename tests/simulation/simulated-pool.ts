import type { Tensor } from '../../src/tensor/tensor.ts';
import { elementsOf, pack } from '../../src/tensor/tensor-values.ts';
import type { InferencePool, PoolRun } from '../../workers/inference/inference-pool.ts';
import { RunError } from '../../workers/inference/run-error.ts';
import type { Machine, Setting } from './machine.ts';

/** What the simulated model makes of an input. */
export const BEHAVIOURS = ['well', 'slowly', 'hangs', 'crashes', 'refuses', 'nonsense'] as const;
export type Behaviour = (typeof BEHAVIOURS)[number];

/** The input of a task: which it is, and how the model takes it. One row, so that tasks can share a run. */
export function inputOf(task: number, behaviour: Behaviour): Tensor {
  return { name: 'x', datatype: 'FP64', shape: [1, 2], data: pack('FP64', [task, BEHAVIOURS.indexOf(behaviour)]) };
}

/** What the model makes of it. */
export function outputOf(task: number): number {
  return task * task + 0.5;
}

export interface SimulatedPool extends InferencePool {
  /** One of its processes dies, and takes its run along; `false` if none runs. */
  killOne(): boolean;
}

export function createSimulatedPool(
  { time, random, trace }: Setting,
  { machine, slots, onBegin }: { machine: Machine; slots: number; onBegin: (task: number, machine: Machine) => void },
): SimulatedPool {
  const listeners = new Set<() => void>();
  const running = new Set<(reason: unknown) => void>();
  const waiting: (() => void)[] = [];
  let free = slots;

  function release(): void {
    free += 1;
    const next = waiting.shift();
    if (next) next();
    else for (const listener of listeners) listener();
  }

  function begin(inputs: Tensor[], { timeoutMs, signal, again }: RunOptions): Promise<PoolRun> {
    free -= 1;
    const rows = rowsOf(inputs);
    for (const { task } of rows) onBegin(task, machine);
    trace(machine.name, 'runs', rows.map(({ task, behaviour }) => `${task} ${behaviour}`).join(', '));
    return new Promise((resolve, reject) => {
      const startedAt = time.now;
      // A dead process is replaced before its slot is free again.
      const end = (afterMs: number, settle: () => void) => {
        if (!machine.isAlive || !running.delete(die)) return;
        settle();
        time.after(afterMs, () => machine.isAlive && release());
      };
      const die = (error: unknown) => end(random.integer(50, 500), () => reject(error));
      running.add(die);
      signal?.addEventListener('abort', () => die(signal.reason));
      const has = (wanted: Behaviour) => rows.some(({ behaviour }) => behaviour === wanted);
      if (has('hangs')) {
        time.after(timeoutMs, () => die(new RunError('TIMEOUT', `the run took longer than ${timeoutMs} ms`)));
      } else if (has('crashes')) {
        time.after(random.integer(1, 300), () => die(new RunError('WORKER_LOST', 'the process was lost')));
      } else {
        const runMs = has('slowly') ? random.integer(200, timeoutMs - 1) : random.integer(1, 50);
        time.after(runMs, () => {
          const refusal = new RunError('MODEL_ERROR', 'the model refuses this');
          const ran = { outputs: outputsOf(rows), runMs: time.now - startedAt };
          const alone = again && { outputs: outputsOf(rowsOf(again)), runMs: 1 };
          end(0, () => (has('refuses') ? reject(refusal) : resolve({ ...ran, again: alone })));
        });
      }
    });
  }

  return {
    idle: () => free,
    onIdle(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    run: (_model, inputs, options) => {
      if (options.signal?.aborted) return Promise.reject(options.signal.reason);
      if (free > 0) return begin(inputs, options);
      return new Promise((resolve) => waiting.push(() => resolve(begin(inputs, options))));
    },
    killOne() {
      const [die] = running;
      die?.(new RunError('WORKER_LOST', 'the process was killed'));
      return die !== undefined;
    },
    inspect: () => Promise.reject(new Error('nothing to inspect')),
    probe: async () => ({ faults: [], tookMs: 0 }),
    prove: async () => ({ finding: 'independent' }),
    warmUp: async () => undefined,
    coolDown: () => undefined,
    isFailing: () => false,
    onFailing: () => () => undefined,
    restarts: () => 0,
    sessions: () => ({ loaded: 0, bytes: 0, loads: 0, evictions: 0 }),
    pids: () => [],
    close: async () => undefined,
  };
}

type RunOptions = Parameters<InferencePool['run']>[2];

interface Row {
  task: number;
  behaviour: Behaviour;
}

function rowsOf(inputs: readonly Tensor[]): Row[] {
  const numbers = inputs.flatMap((input) => elementsOf(input)).map(Number);
  return Array.from({ length: numbers.length / 2 }, (_, i) => {
    const behaviour = BEHAVIOURS[numbers[2 * i + 1] ?? -1];
    if (!behaviour) throw new Error('the input is not as it was sent');
    return { task: numbers[2 * i] ?? -1, behaviour };
  });
}

function outputsOf(rows: readonly Row[]): Tensor[] {
  const values = rows.map(({ task, behaviour }) => (behaviour === 'nonsense' ? Number.NaN : outputOf(task)));
  return [{ name: 'y', datatype: 'FP64', shape: [rows.length], data: pack('FP64', values) }];
}
