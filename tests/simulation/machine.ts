import type { Random } from '../support/random.ts';
import { byClock, type VirtualTime } from './virtual-time.ts';

/** What every part of a simulated world is given. */
export interface Setting {
  time: VirtualTime;
  random: Random;
  /** Tells what happens, for whoever reads how a promise was broken. */
  trace: (...what: unknown[]) => void;
}

/** A process that may die at any moment: what it has begun goes on in memory, but reaches nobody and hears nothing any more. */
export class Machine {
  readonly name: string;
  /** Resolves when it is dead: whoever is connected to it notices. */
  readonly dead: Promise<void>;
  readonly #dead = Promise.withResolvers<void>();
  readonly #lastWords: (() => void)[] = [];
  readonly #clockOffsetMs: number;
  isAlive = true;

  /** `clockOffsetMs`: by how much its clock is wrong. */
  constructor(name: string, clockOffsetMs = 0) {
    this.name = name;
    this.#clockOffsetMs = clockOffsetMs;
    this.dead = this.#dead.promise;
  }

  /** Carries out what happens in the process, by its clock: whatever comes from outside has to come in here. */
  run<T>(action: () => T): T {
    return byClock(this.#clockOffsetMs, action);
  }

  /** What the outside world does when the process is gone. */
  onDeath(action: () => void): void {
    this.#lastWords.push(action);
  }

  kill(): void {
    if (!this.isAlive) return;
    this.isAlive = false;
    for (const action of this.#lastWords) action();
    this.#dead.resolve();
  }
}

/** How often a call fails although nothing is down, and whether the server can be reached at all. */
export interface Line {
  /** Of a call to fail: before it took effect, after it, or so late that nobody waits for it any more. */
  lossy: number;
  /** Until this moment every call fails. */
  awayUntil: number;
  /** What a caller waits at most. */
  timeoutMs: number;
  refusal: (message: string) => Error;
}

/** A call over the network: it takes time both ways, and may fail before it took effect, after it, or in between. */
export function createCaller(setting: Setting, line: Line) {
  const { time, random, trace } = setting;
  /** When the last call of a machine arrives: a connection keeps its order. */
  const arrivals = new WeakMap<Machine, number>();

  function arrivalOf(from: Machine, delayMs: number): number {
    const at = Math.max(time.now + delayMs, arrivals.get(from) ?? 0);
    arrivals.set(from, at);
    return at - time.now;
  }

  return function call<T>(from: Machine, name: string, effect: () => T): Promise<T> {
    return new Promise((resolve, reject) => {
      if (!from.isAlive) return;
      const answer = (delayMs: number, give: () => void) => time.after(delayMs, () => from.isAlive && give());
      const fail = (afterMs: number, message: string) => {
        trace(from.name, name, 'will fail:', message);
        answer(afterMs, () => reject(line.refusal(message)));
      };
      const carryOut = (): T | undefined => {
        // What a process sent in its last moment may have left the machine, or not.
        return from.isAlive || random.chance(0.5) ? effect() : undefined;
      };
      if (random.chance(line.lossy)) {
        const fate = random.integer(0, 2);
        if (fate === 0) return fail(latencyMs(random), 'refused');
        const lateMs = fate === 1 ? latencyMs(random) : random.integer(line.timeoutMs, 3 * line.timeoutMs);
        time.after(arrivalOf(from, lateMs), carryOut);
        return fail(fate === 1 ? lateMs + latencyMs(random) : line.timeoutMs, 'the answer is lost');
      }
      time.after(arrivalOf(from, latencyMs(random)), () => {
        if (time.now < line.awayUntil) return fail(random.chance(0.5) ? 1 : line.timeoutMs, 'away');
        const result = carryOut();
        if (from.isAlive) answer(latencyMs(random), () => resolve(result as T));
        return undefined;
      });
    });
  };
}

/** Mostly a few milliseconds; now and then a pause of a process or of the network. */
export function latencyMs(random: Random): number {
  return random.chance(0.03) ? random.integer(50, 800) : random.integer(1, 15);
}
