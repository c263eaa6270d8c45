import type { Broker } from './broker/broker.ts';
import { openBroker } from './broker/open.ts';
import type { Config } from './config.ts';
import type { Lifecycle } from './lifecycle.ts';
import type { Log } from './log.ts';
import type { ModelRegistry } from './models/registry.ts';
import type { Deadlines } from './store/deadlines.ts';
import { openStore } from './store/open.ts';
import type { TaskStore } from './store/store.ts';

/** What API and worker meet through. */
export interface Services {
  broker: Broker;
  store: TaskStore;
  deadlines: Deadlines;
  registry: ModelRegistry;
}

/** Opens broker and store as the settings say. Resolves at once: they connect in the background, and again whenever they are lost. */
export async function openServices(config: Config, log: Log, lifecycle: Lifecycle): Promise<Services> {
  const { close, ...kept } = await openStore(config, log);
  lifecycle.onClose(close);
  const broker = await openBroker(config.brokerUrl, log);
  lifecycle.onClose(() => broker.close());
  return { broker, ...kept };
}
