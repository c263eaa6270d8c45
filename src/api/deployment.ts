import type { Broker } from '../broker/broker.ts';
import { LANES, predictionQueue } from '../broker/topology.ts';
import { defaultVersions, type ModelRegistry } from '../registry/registry.ts';
import type { Services } from '../services.ts';

/**
 * Has an API tell, at each scrape, what is true of the whole deployment, while it has the lease for that: every API could, and a sum over them would be
 * as many times too large.
 */
export function observeDeployment({ broker, room, registry, metrics, openLease }: Services): {
  close(): Promise<void>;
} {
  const lease = openLease('metrics');
  const names = () => defaultVersions(registry.list()).map(({ name }) => name);
  metrics.observe({
    queueDepths: async () => (lease.isHeld() ? queueDepths(broker, names()) : []),
    modelFaults: () => (lease.isHeld() ? modelFaults(registry, names()) : []),
    storeBytes: () => (lease.isHeld() ? room.level().bytes : undefined),
    storeLimitBytes: () => (lease.isHeld() ? (room.level().limit ?? Number.POSITIVE_INFINITY) : undefined),
  });
  const know = () => metrics.know(names(), 'submits');
  know();
  const unwatch = registry.watch(know);
  return {
    async close() {
      unwatch();
      await lease.close();
    },
  };
}

/** What waits in each lane of each model that is known. */
function queueDepths(broker: Broker, models: readonly string[]) {
  const lanes = models.flatMap((model) => LANES.map((lane) => ({ model, lane, queue: predictionQueue(model, lane) })));
  return Promise.all(lanes.map(async ({ queue, ...of }) => ({ ...of, messages: await broker.depth(queue) })));
}

/** Of each model that is known, none or more; what no version could ever be served of counts too. */
function modelFaults(registry: ModelRegistry, models: readonly string[]): { model: string; faults: number }[] {
  const faults = registry.faults().map(({ name: model }) => ({ model, faults: 1 }));
  return [...models.map((model) => ({ model, faults: 0 })), ...faults];
}
