import { type Figure, inParallel, type Measure } from '../measure.ts';
import { cpuSecondsOf } from '../processes.ts';
import type { Deployment, Stage } from '../stage.ts';
import { foretellTarget } from '../target.ts';

const TASKS = 8_000;
const MIB = 1024 * 1024;

/** What a task costs each process under full load, what they hold, and how late their event loops are. */
export const load: Measure = {
  name: 'load',
  async run(stage) {
    stage.progress('processes under load');
    return stage.foretell({}, async (deployment) => {
      const { api, worker } = deployment;
      const idle = { api: await api.read(), worker: await worker.read() };
      const target = foretellTarget(deployment.url);
      const work = async () => void (await target.completed(await target.submit(1)));
      await inParallel(TASKS / 4, 32, work);
      await Promise.all([api.read(), worker.read()]);
      const before = await cpuSeconds(stage, deployment);
      await inParallel(TASKS, 32, work);
      const after = await cpuSeconds(stage, deployment);
      const loaded = { api: await api.read(), worker: await worker.read() };
      target.close();
      const figures: Figure[] = Object.entries(after).map(([name, seconds]) => {
        const value = ((seconds - (before[name] ?? 0)) * 1e6) / TASKS;
        return { what: `CPU of a task: ${name}`, unit: 'µs', value };
      });
      for (const name of ['api', 'worker'] as const) {
        figures.push(
          { what: `event-loop delay of the ${name} under load, p99`, unit: 'ms', value: loaded[name].loopDelayP99Ms },
          { what: `memory of the ${name}, idle`, unit: 'MiB', value: idle[name].rssBytes / MIB },
          { what: `memory of the ${name}, loaded`, unit: 'MiB', value: loaded[name].rssBytes / MIB },
        );
      }
      return figures;
    });
  },
};

async function cpuSeconds({ rabbitmq, redis }: Stage, { api, worker }: Deployment): Promise<Record<string, number>> {
  return {
    api: await api.cpuSeconds(),
    'worker and its inference processes': await worker.cpuSeconds(),
    RabbitMQ: await cpuSecondsOf(rabbitmq.pid),
    Redis: await cpuSecondsOf(redis.pid),
  };
}
