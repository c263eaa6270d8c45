import type { Figure } from './measure.ts';
import { ratioOf } from './report.ts';

/** The change against figures that were kept, as ratios to the floor of the same run: other machines and other days have other floors. */
export function comparison(now: readonly Figure[], before: readonly Figure[]): string {
  const lines = now.flatMap((figure) => {
    const kept = before.find(({ what }) => what === figure.what);
    const [ratio, ratioBefore] = [ratioOf(figure), kept && ratioOf(kept)];
    if (ratio === undefined || ratioBefore === undefined) return [];
    const change = 100 * (ratio / ratioBefore - 1);
    return `| ${figure.what} | ${ratioBefore.toFixed(2)} | ${ratio.toFixed(2)} | ${change > 0 ? '+' : ''}${change.toFixed(0)} % |`;
  });
  return ['| of the floor | before | now | change |', '| --- | --- | --- | --- |', ...lines].join('\n');
}
