import { openApi } from '../src/api.ts';
import { runCommand } from '../src/command.ts';
import { openServices } from '../src/services.ts';
import { openWorker } from './open.ts';
import { welcome } from './welcome.ts';

await runCommand('start', async (config, log, lifecycle) => {
  const services = await openServices(config, log, lifecycle);
  const worker = await openWorker(config, services, log);
  lifecycle.onClose(() => worker.close());
  const api = await openApi(config, services, log);
  lifecycle.onClose(() => api.close());
  process.stdout.write(welcome({ config, url: api.url, api: api.graphql.api(), repository: worker.repository }));
});
