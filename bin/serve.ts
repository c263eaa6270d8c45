import { openApi } from '../src/api/open.ts';
import { openServices } from '../src/services.ts';
import { openWorker } from '../workers/open.ts';
import { banner } from './banner.ts';
import { print } from './command.ts';
import type { Start } from './start.ts';

/** API and worker in one process. */
export const serve: Start = async (config, log, lifecycle) => {
  const services = await openServices(config, log, lifecycle);
  const worker = await openWorker(config, services, log);
  lifecycle.onClose(() => worker.close());
  const api = await openApi(config, services, log);
  lifecycle.onClose(() => api.close());
  print(banner({ config, url: api.url, api: api.graphql.api(), repository: worker.repository }));
};
