/** Those who are called on each event of one kind. */
export interface Listeners<Args extends unknown[]> {
  /** Returns the function that ends it. */
  add(listener: (...args: Args) => void): () => void;
  call(...args: Args): void;
}

export function createListeners<Args extends unknown[] = []>(): Listeners<Args> {
  const listeners = new Set<(...args: Args) => void>();
  return {
    add(listener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    call(...args) {
      for (const listener of listeners) listener(...args);
    },
  };
}
