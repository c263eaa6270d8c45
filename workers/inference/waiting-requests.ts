import type { Answered, AskOptions } from './inference-child.ts';
import type { InferenceRequest } from './inference-messages.ts';
import type { InferenceSlot } from './inference-slot.ts';

interface Waiting {
  /** Called with a slot that is idle at this moment. */
  begin(slot: InferenceSlot): void;
  reject(reason: unknown): void;
}

/** Requests that wait for an idle process, first come, first served: as many as callers have asked for and not been answered. */
export class WaitingRequests {
  readonly #waiting: Waiting[] = [];

  add(request: InferenceRequest, options: AskOptions): Promise<Answered> {
    const { signal } = options;
    const { promise, resolve, reject } = Promise.withResolvers<Answered>();
    const turn: Waiting = { begin: (slot) => resolve(slot.ask(request, options)), reject };
    const onAbort = () => {
      const place = this.#waiting.indexOf(turn);
      if (place < 0) return;
      this.#waiting.splice(place, 1);
      reject(signal?.reason);
    };
    signal?.addEventListener('abort', onAbort, { once: true });
    this.#waiting.push(turn);
    return promise.finally(() => signal?.removeEventListener('abort', onAbort));
  }

  /** Has an idle slot do the first of them; `false` if there is none. */
  begin(slot: InferenceSlot): boolean {
    const next = this.#waiting.shift();
    next?.begin(slot);
    return next !== undefined;
  }

  rejectAll(reason: () => Error): void {
    for (const { reject } of this.#waiting.splice(0)) reject(reason());
  }
}
