import { inParallel, median, quantile } from './measure.ts';
import type { Deployment, Stage } from './stage.ts';
import type { Target } from './target.ts';

export interface DrainRate {
  /** Tasks a second. */
  rate: number;
  /** From the moment the worker goes on to that at which a task is told of, as the last fifty of each thousand have it. */
  p95Ms: number;
}

/**
 * How fast a worker takes from a full queue: it stands still until all are queued, and some of them, the last ones among them, tell how far it is.
 * (All would have the API at work beside it.)
 */
export async function drainRate(
  stage: Stage,
  deployment: Deployment,
  target: Target,
  tasks: number,
): Promise<DrainRate> {
  await target.completed(await target.submit(1_000));
  const rates: number[] = [];
  const ms: number[] = [];
  for (let round = 0; round < stage.rounds; round += 1) {
    deployment.worker.pause();
    const watched: string[][] = [];
    await inParallel(tasks / 1_000, 1, async () => void watched.push((await target.submit(1_000)).slice(-50)));
    const told = Promise.all(watched.map((ids) => target.completed(ids)));
    const begun = Date.now();
    deployment.worker.resume();
    const delays = (await told).flat().map((moment) => moment - begun);
    rates.push((1_000 * tasks) / Math.max(...delays));
    ms.push(...delays);
  }
  target.close();
  return { rate: median(rates), p95Ms: quantile(ms, 0.95) };
}
