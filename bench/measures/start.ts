import { freePort } from '../../tests/support/free-port.ts';
import { type Figure, type Measure, median } from '../measure.ts';
import { startMeasured } from '../processes.ts';
import { foretellTarget } from '../target.ts';

/** How long one waits for the first answer after `npm start`, and for a worker. */
export const start: Measure = {
  name: 'start',
  async run(stage) {
    stage.progress('start');
    const firstAnswers: number[] = [];
    const workers: number[] = [];
    for (let round = 0; round <= stage.rounds; round += 1) {
      const port = String(await freePort());
      const url = `http://127.0.0.1:${port}`;
      const begun = performance.now();
      const env = { PORT: port };
      const serve = await startMeasured({ file: 'bin/foretell.ts', args: ['serve'], env, readyUrl: `${url}/readyz` });
      const target = foretellTarget(url);
      await target.completed(await target.submit(1));
      firstAnswers.push((performance.now() - begun) / 1_000);
      target.close();
      await serve.close();
      const from = performance.now();
      const servers = { BROKER_URL: stage.rabbitmq.url, STORE_URL: stage.redis.url, WORKER_PORT: port };
      const worker = await startMeasured({
        file: 'bin/foretell.ts',
        args: ['worker'],
        env: servers,
        readyUrl: `${url}/readyz`,
      });
      workers.push((performance.now() - from) / 1_000);
      await worker.close();
    }
    // The first of them has made the queues, and has filled the cache of what Node compiles.
    return [
      { what: 'npm start to the first answer', unit: 's', value: median(firstAnswers.slice(1)) },
      { what: 'a worker’s start until it is ready', unit: 's', value: median(workers.slice(1)) },
    ] satisfies Figure[];
  },
};
