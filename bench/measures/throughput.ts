import { chunked, type Figure, inParallel, type Measure, median } from '../measure.ts';
import type { Deployment, Stage } from '../stage.ts';
import { floorTarget, foretellTarget, type Target } from '../target.ts';

/** How the same number of tasks is submitted. */
interface Way {
  what: string;
  tasks: number;
  /** Predictions of one call. */
  size: number;
  /** Calls at once. */
  width: number;
}

const SINGLES: Way[] = [1, 32, 128].map((width) => ({
  what: `single submits, ${width} at once`,
  tasks: width === 1 ? 500 : 3_000,
  size: 1,
  width,
}));
const BULK: Way[] = [100, 1_000].map((size) => ({ what: `bulk of ${size}`, tasks: 12_000, size, width: 8 }));

/** Tasks a second, from the first submit to the moment when the last is known to be done. */
async function endToEnd(target: Target, { tasks, size, width }: Way): Promise<number> {
  const ids: string[] = [];
  const begun = performance.now();
  await inParallel(tasks / size, width, async () => void ids.push(...(await target.submit(size))));
  const parts = chunked(ids, 500);
  await inParallel(parts.length, 8, async (i) => void (await target.completed(parts[i] ?? [])));
  return (1_000 * tasks) / (performance.now() - begun);
}

async function rates(stage: Stage, target: Target, ways: Way[], name: string): Promise<number[]> {
  await inParallel(400, 8, async () => void (await target.completed(await target.submit(1))));
  const found: number[] = [];
  for (const way of ways) {
    stage.progress(`${name}: ${way.what}`);
    const rounds: number[] = [];
    for (let round = 0; round < stage.rounds; round += 1) rounds.push(await endToEnd(target, way));
    found.push(median(rounds));
  }
  return found;
}

const measure = (name: string, ways: Way[]): Measure => ({
  name,
  async run(stage) {
    const load = (targetOf: (url: string) => Target, of: string) => async (deployment: Deployment) => {
      const target = targetOf(deployment.url);
      const found = await rates(stage, target, ways, of);
      target.close();
      return found;
    };
    const floor = await stage.floor(load(floorTarget, 'floor'));
    const ours = await stage.foretell({}, load(foretellTarget, 'foretell'));
    return ways.map(({ what }, i): Figure => {
      return { what, unit: 'tasks/s', value: ours[i] ?? Number.NaN, floor: floor[i] ?? Number.NaN };
    });
  },
});

export const singles = measure('singles', SINGLES);
export const bulk = measure('bulk', BULK);
