import { chunked, type Figure, inParallel, type Measure } from '../measure.ts';
import { foretellTarget } from '../target.ts';

/** As many as one API takes, less those that submit. */
const STREAMS = 9_900;

/** Subscriptions that wait, one for each task, and what happens when all their tasks are done at about the same moment. */
export const streams: Measure = {
  name: 'streams',
  async run(stage) {
    stage.progress(`${STREAMS} open subscriptions`);
    return stage.foretell({ WORKER_SLOTS: '1' }, async ({ url, api, worker }) => {
      const target = foretellTarget(url);
      await target.completed(await target.submit(1_000));
      worker.pause();
      const ids: string[] = [];
      await inParallel(STREAMS / 100, 4, async () => void ids.push(...(await target.submit(100))));
      const before = await api.read();
      const told: Promise<number[]>[] = [];
      for (const part of chunked(ids, 100)) {
        await Promise.all(part.map((id) => new Promise<void>((onOpen) => told.push(target.completed([id], onOpen)))));
      }
      const open = await api.read();
      const begun = Date.now();
      worker.resume();
      const moments = (await Promise.all(told)).flat();
      target.close();
      if (moments.length !== STREAMS) throw new Error(`${moments.length} of ${STREAMS} subscriptions were told`);
      return [
        {
          what: 'heap of an open subscription',
          unit: 'kB',
          value: (open.heapBytes - before.heapBytes) / STREAMS / 1_000,
        },
        { what: `all of ${STREAMS} subscriptions told`, unit: 's', value: (Math.max(...moments) - begun) / 1_000 },
      ] satisfies Figure[];
    });
  },
};
