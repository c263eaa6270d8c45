import { drainRate } from '../drain-rate.ts';
import type { Figure, Measure } from '../measure.ts';
import { floorTarget, foretellTarget } from '../target.ts';

const row = Array.from({ length: 28 }, (_, x) => (x > 12 && x < 16 ? 1 : 0));
const pixels = Array.from({ length: 28 }, () => row);
const text = 'Dear friend, claim your free prize money now, this offer ends today. Best regards, the winners office.';

const MODELS: { name: string; tasks: number; inputOf?: () => unknown }[] = [
  { name: 'iris', tasks: 20_000 },
  { name: 'digits', tasks: 3_000, inputOf: () => ({ digits: { pixels } }) },
  { name: 'spam', tasks: 6_000, inputOf: () => ({ spam: { text } }) },
];

/** What one worker with one inference process gets done of each model. */
export const drain: Measure = {
  name: 'drain',
  async run(stage) {
    const figures: Figure[] = [];
    for (const { name, tasks, inputOf } of MODELS) {
      stage.progress(`drain of ${name}`);
      const { rate: value } = await stage.foretell({ WORKER_SLOTS: '1' }, (deployment) =>
        drainRate(stage, deployment, foretellTarget(deployment.url, inputOf), tasks),
      );
      figures.push({ what: `drain of ${name} by one inference process`, unit: 'tasks/s', value });
    }
    const [iris] = figures;
    const floor = await stage.floor((deployment) => drainRate(stage, deployment, floorTarget(deployment.url), 20_000));
    if (iris) iris.floor = floor.rate;
    return figures;
  },
};
