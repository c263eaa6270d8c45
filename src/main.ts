import { openApi } from './api.ts';
import { runCommand } from './command.ts';
import { openServices } from './services.ts';

await runCommand('api', async (config, log, lifecycle) => {
  const services = await openServices(config, log, lifecycle);
  const api = await openApi(config, services, log);
  lifecycle.onClose(() => api.close());
  log.info({ url: `${api.url}/graphql` }, 'api listening');
});
