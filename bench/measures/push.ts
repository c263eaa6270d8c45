import { createHttpClient } from '../http-client.ts';
import { type Figure, type Measure, quantile } from '../measure.ts';
import { foretellTarget } from '../target.ts';

const CALLS = 300;

/** From the moment at which a result was stored to that at which its subscriber has it, on one clock; to the millisecond, as the API says it. */
export const push: Measure = {
  name: 'push',
  async run(stage) {
    stage.progress('push delay');
    return stage.foretell({}, async ({ url, worker }) => {
      const [target, client] = [foretellTarget(url), createHttpClient(url)];
      await target.completed(await target.submit(1_000));
      const delays: number[] = [];
      for (let i = 0; i < CALLS; i += 1) {
        worker.pause();
        const [id = ''] = await target.submit(1);
        // The worker goes on once the subscription is there.
        const [moment = Number.NaN] = await target.completed([id], worker.resume);
        const query = 'query ($id: ID!) { result(id: $id) { completedAt } }';
        const { data } = await client.post<{ data: { result: { completedAt: string } } }>('/graphql', {
          query,
          variables: { id },
        });
        delays.push(moment - Date.parse(data.result.completedAt));
      }
      target.close();
      client.close();
      return [0.5, 0.95].map((part): Figure => {
        return { what: `stored to received, p${100 * part}`, unit: 'ms', value: quantile(delays, part) };
      });
    });
  },
};
