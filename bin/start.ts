import type { Config } from '../src/process/config.ts';
import type { Lifecycle } from '../src/process/lifecycle.ts';
import type { Log } from '../src/process/log.ts';

/** Opens what a process serves with, and leaves in `lifecycle` how to close it. */
export type Start = (config: Config, log: Log, lifecycle: Lifecycle) => Promise<void>;
