import { forgetOldest } from '../async/oldest-first.ts';
import { StoreUnavailable } from '../errors.ts';
import { fingerprintOf, type ServedModel, servedModelSchema } from '../models/served-model.ts';
import type { Log } from '../process/log.ts';
import { WITHDRAWN_MAX } from './last-withdrawn.ts';
import { createMemorySharing } from './memory-sharing.ts';
import { createRegistered } from './registered.ts';
import type { ModelRegistry, RegistryFault } from './registry.ts';

/** The most replaced registrations that are remembered for the tasks submitted for them; beyond it the oldest go first. */
const REPLACED_MAX = 1_000;

/** The models of the one process that registers and serves them. */
export function createMemoryRegistry({ log }: { log: Log }): ModelRegistry {
  const registered = createRegistered(log);
  const known = new Map<string, ServedModel>();
  /** By name, in the order in which they went. */
  const withdrawn = new Map<string, ServedModel[]>();
  let faulty: readonly RegistryFault[] = [];
  let closed = false;
  return {
    ...createMemorySharing(registered.tell),
    isReady: () => !closed,
    async register(models, faults = []) {
      if (closed) throw new StoreUnavailable('the registry is closed');
      // Parsed as it would be on the way through Redis, so that the same models are refused.
      const parsed = models.map((model) => servedModelSchema.parse(model));
      for (const model of parsed) {
        const fingerprint = fingerprintOf(model);
        known.delete(fingerprint);
        known.set(fingerprint, model);
      }
      forgetOldest(known, REPLACED_MAX + models.length);
      faulty = faults;
      for (const [name, versions] of Map.groupBy(registered.list(), (model) => model.name))
        withdrawn.set(name, versions);
      for (const { name } of parsed) withdrawn.delete(name);
      forgetOldest(withdrawn, WITHDRAWN_MAX);
      registered.replace(parsed, [...withdrawn.values()].flat());
    },
    list: registered.list,
    withdrawn: registered.withdrawn,
    workers: (fingerprint) => registered.list().filter((model) => fingerprintOf(model) === fingerprint).length,
    faults: () => faulty,
    find: async (fingerprint) => known.get(fingerprint),
    watch: registered.watch,
    async close() {
      closed = true;
    },
  };
}
