import { type Figure, type Measure, quantile } from '../measure.ts';
import { floorTarget, foretellTarget, sequentialMs, type Target } from '../target.ts';

const CALLS = 300;

export const latency: Measure = {
  name: 'latency',
  async run(stage) {
    stage.progress('sequential latency');
    const load = async (target: Target) => {
      const ms = await sequentialMs(target, CALLS * stage.rounds);
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
