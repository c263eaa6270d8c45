import { type Figure, type Measure, quantile } from '../measure.ts';
import type { Stage } from '../stage.ts';
import { floorTarget, foretellTarget, type Target } from '../target.ts';

const CALLS = 300;

/** Milliseconds from a submit to its pushed result, one after the other, as a client that waits for each would have it. */
async function sequential(stage: Stage, target: Target): Promise<number[]> {
  const ms: number[] = [];
  for (let i = 0; i < 200 + CALLS * stage.rounds; i += 1) {
    const begun = performance.now();
    await target.completed(await target.submit(1));
    if (i >= 200) ms.push(performance.now() - begun);
  }
  return ms;
}

export const latency: Measure = {
  name: 'latency',
  async run(stage) {
    stage.progress('sequential latency');
    const load = async (target: Target) => {
      const ms = await sequential(stage, target);
      target.close();
      return ms;
    };
    const floor = await stage.floor(({ url }) => load(floorTarget(url)));
    const ours = await stage.foretell({}, ({ url }) => load(foretellTarget(url)));
    return [0.5, 0.95, 0.99].map((part): Figure => {
      const what = `submit to result, one after the other, p${100 * part}`;
      return { what, unit: 'ms', value: quantile(ours, part), floor: quantile(floor, part) };
    });
  },
};
