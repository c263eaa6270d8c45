import { ConfigError } from '../../src/process/config.ts';
import type { Log } from '../../src/process/log.ts';

/**
 * Compares the names of the models that a worker is to serve with those that are there as it starts. One that is not is warned of, since
 * it may be a slip of the pen or come later; throws `ConfigError` where none is.
 */
export function checkChosen(there: readonly string[], chosen: readonly string[], log: Log): void {
  const missing = chosen.filter((name) => !there.includes(name));
  if (missing.length === chosen.length) {
    const known = there.length > 0 ? `it has ${there.join(', ')}` : 'it has no models';
    throw new ConfigError(`WORKER_MODELS: MODELS_DIR has none of the models ${missing.join(', ')}; ${known}`);
  }
  if (missing.length > 0) log.warn({ missing, there }, 'WORKER_MODELS names models that MODELS_DIR does not have');
}
