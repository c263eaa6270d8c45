/** What one process does for all that share a store. */
export interface Lease {
  /** Whether this process has the lease at this moment: of several, one at most. */
  isHeld(): boolean;
  /** Lets another have it at once. */
  close(): Promise<void>;
}

/**
 * Asks for a lease by its name, and goes on asking until `close`. Of those who ask one gets it and keeps it; where that one dies, another gets it some
 * fifteen seconds later. Where the store cannot be reached, nobody has it after that time.
 */
export type OpenLease = (name: string) => Lease;

/** In one process there is nobody else. */
export const openMemoryLease: OpenLease = () => ({ isHeld: () => true, close: async () => undefined });
