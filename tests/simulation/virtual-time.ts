import { AsyncLocalStorage } from 'node:async_hooks';
import { createRequire, syncBuiltinESMExports } from 'node:module';
import type { Random } from '../support/random.ts';

interface Timer {
  at: number;
  order: number;
  /** `undefined` once it has been cleared. */
  action: (() => void) | undefined;
}

const real = { setImmediate: globalThis.setImmediate, nextTick: process.nextTick };

/** By how many milliseconds the clock of the machine that runs at this moment is wrong; what it starts goes by the same clock. */
const clock = new AsyncLocalStorage<number>();

/** Carries out what happens on a machine with such a clock. */
export function byClock<T>(offsetMs: number, action: () => T): T {
  return clock.run(offsetMs, action);
}

/** The world whose time, chance and ids the process has at this moment; none between two worlds. */
let current: { time: VirtualTime; random: Random } | undefined;

/**
 * Time that passes only when something is due, which makes an hour of waiting take no longer than what happens in it. While
 * `run` is running, every timer, clock and source of chance that the product uses is this one's; nothing else in the process
 * runs meanwhile, since not one turn of the real event loop is given away.
 */
export class VirtualTime {
  now = 1_800_000_000_000;
  readonly #heap: Timer[] = [];
  #made = 0;

  after(delayMs: number, action: () => void): Timer {
    const offsetMs = clock.getStore() ?? 0;
    const timer = { at: this.now + delayMs, order: this.#made, action: () => clock.run(offsetMs, action) };
    this.#made += 1;
    this.#push(timer);
    return timer;
  }

  /** Lets time pass until `isOver` or `untilMs`; tells whether it was over. */
  async run(random: Random, isOver: () => boolean, untilMs: number): Promise<boolean> {
    current = { time: this, random };
    const { stackTraceLimit } = Error;
    // Most of the errors of such a world are part of it, and their stacks would take a fifth of the time.
    Error.stackTraceLimit = 0;
    try {
      await microtasksDone();
      while (!isOver()) {
        const timer = this.#pop();
        if (!timer || timer.at > untilMs) return false;
        if (!timer.action) continue;
        this.now = timer.at;
        timer.action();
        await microtasksDone();
      }
      return true;
    } finally {
      Error.stackTraceLimit = stackTraceLimit;
      current = undefined;
    }
  }

  #push(timer: Timer): void {
    const heap = this.#heap;
    let place = heap.length;
    while (place > 0) {
      const above = (place - 1) >> 1;
      const parent = heap[above];
      if (!parent || isBefore(parent, timer)) break;
      heap[place] = parent;
      place = above;
    }
    heap[place] = timer;
  }

  #pop(): Timer | undefined {
    const heap = this.#heap;
    const [first] = heap;
    const last = heap.pop();
    if (!last || heap.length === 0) return first;
    let place = 0;
    for (;;) {
      const left = 2 * place + 1;
      const [a, b] = [heap[left], heap[left + 1]];
      if (!a) break;
      const [child, below] = b && isBefore(b, a) ? [b, left + 1] : [a, left];
      if (isBefore(last, child)) break;
      heap[place] = child;
      place = below;
    }
    heap[place] = last;
    return first;
  }
}

function isBefore(a: Timer, b: Timer): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order);
}

/** Ticks come after all microtasks, those included that microtasks make: then nothing more happens by itself. */
function microtasksDone(): Promise<void> {
  return new Promise((resolve) => real.nextTick(resolve));
}

/** A turn of the real event loop: in it Node reports rejections that nobody handles. */
export function turnOfTheLoop(): Promise<void> {
  return new Promise((resolve) => void real.setImmediate(resolve));
}

/** What a timer function of Node gives back, as far as anybody uses it. */
class Handle {
  readonly timer: Timer;
  constructor(timer: Timer) {
    this.timer = timer;
  }
  unref(): this {
    return this;
  }
  ref(): this {
    return this;
  }
}

type Callback = (...args: unknown[]) => void;

/** Node fires a timer after a whole millisecond at least. */
const wholeMs = (ms = 0) => Math.max(1, Math.trunc(ms));

function repeat(time: VirtualTime, everyMs: number, action: () => void): Handle {
  const rearm = () => {
    timer.at = time.after(everyMs, () => timer.action?.()).at;
  };
  const timer: Timer = time.after(everyMs, () => {
    rearm();
    action();
  });
  return new Handle(timer);
}

function clear(handle: unknown): boolean {
  if (!(handle instanceof Handle)) return false;
  handle.timer.action = undefined;
  return true;
}

const ABORTED = new Error('the operation was aborted');

/** Like `node:timers/promises`: rejects when its signal aborts. */
function sleepIn(time: VirtualTime, ms: number, value: unknown, signal: AbortSignal | undefined): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const onAbort = () => {
      timer.action = undefined;
      reject(ABORTED);
    };
    const timer = time.after(wholeMs(ms), () => {
      signal?.removeEventListener('abort', onAbort);
      resolve(value);
    });
    if (signal?.aborted) onAbort();
    else signal?.addEventListener('abort', onAbort, { once: true });
  });
}

function timeoutIn(time: VirtualTime, ms: number): AbortSignal {
  const controller = new AbortController();
  time.after(wholeMs(ms), () => controller.abort(new DOMException('The operation timed out', 'TimeoutError')));
  return controller.signal;
}

interface TimerPromises {
  setTimeout: (ms: number, value?: unknown, options?: { signal?: AbortSignal }) => Promise<unknown>;
  setImmediate: (value?: unknown) => Promise<unknown>;
}

/** Puts a switch before every clock, timer and source of chance of this process: to the world that is running, else to the real one. */
function installSwitches(): void {
  const require = createRequire(import.meta.url);
  const { setTimeout, setInterval, setImmediate, clearTimeout, clearInterval, clearImmediate } = globalThis;
  const clearBy = (realClear: (handle: never) => void) => (handle: never) => clear(handle) || realClear(handle);
  Object.assign(globalThis, {
    setTimeout: (action: Callback, ms?: number, ...args: unknown[]) =>
      current ? new Handle(current.time.after(wholeMs(ms), () => action(...args))) : setTimeout(action, ms, ...args),
    setInterval: (action: Callback, ms?: number, ...args: unknown[]) =>
      current ? repeat(current.time, wholeMs(ms), () => action(...args)) : setInterval(action, ms, ...args),
    setImmediate: (action: Callback, ...args: unknown[]) =>
      current ? new Handle(current.time.after(0, () => action(...args))) : setImmediate(action, ...args),
    clearTimeout: clearBy(clearTimeout),
    clearInterval: clearBy(clearInterval),
    clearImmediate: clearBy(clearImmediate),
  });
  const { timeout } = AbortSignal;
  AbortSignal.timeout = (ms) => (current ? timeoutIn(current.time, ms) : timeout(ms));
  const realTime = { date: Date.now, performance: performance.now.bind(performance), random: Math.random };
  Date.now = () => (current ? current.time.now + (clock.getStore() ?? 0) : realTime.date());
  performance.now = () => current?.time.now ?? realTime.performance();
  Math.random = () => current?.random.fraction() ?? realTime.random();

  const timers: TimerPromises = require('node:timers/promises');
  const { setTimeout: sleep, setImmediate: turn } = timers;
  timers.setImmediate = (value) =>
    current ? new Promise((resolve) => current?.time.after(0, () => resolve(value))) : turn(value);
  timers.setTimeout = (ms, value, options) =>
    current ? sleepIn(current.time, ms, value, options?.signal) : sleep(ms, value, options);
  const crypto: { randomUUID: () => string } = require('node:crypto');
  const realUuid = crypto.randomUUID;
  crypto.randomUUID = () => current?.random.uuid() ?? realUuid();
  // Named imports of these two follow only now, also where they were imported long ago.
  syncBuiltinESMExports();
}

installSwitches();
