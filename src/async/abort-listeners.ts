/** Calls `listener`, which must not throw, when the signal aborts, at once if it has; returns the function that ends it. */
export type OnAbort = (signal: AbortSignal, listener: () => void) => () => void;

/** For signals that many listen to, each for a moment: one by itself goes through all the listeners that it has for each that comes. */
export function createAbortListeners(): OnAbort {
  const listenersOf = new WeakMap<AbortSignal, Set<() => void>>();

  function listen(signal: AbortSignal): Set<() => void> {
    const listeners = new Set<() => void>();
    const tell = () => {
      for (const listener of [...listeners]) if (listeners.has(listener)) listener();
    };
    signal.addEventListener('abort', tell, { once: true });
    listenersOf.set(signal, listeners);
    return listeners;
  }

  return (signal, listener) => {
    const listeners = listenersOf.get(signal) ?? listen(signal);
    listeners.add(listener);
    if (signal.aborted) listener();
    return () => void listeners.delete(listener);
  };
}
