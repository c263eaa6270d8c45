import { openApi } from '../src/api/open.ts';
import { openServices } from '../src/services.ts';
import type { Start } from './start.ts';

/** The API process. */
export const api: Start = async (config, log, lifecycle) => {
  const services = await openServices(config, log, lifecycle);
  const opened = await openApi(config, services, log);
  lifecycle.onClose(() => opened.close());
  log.info({ url: `${opened.url}/graphql` }, 'api listening');
};
