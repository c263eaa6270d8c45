import type { Figure } from './measure.ts';

/** Three digits say all that such a figure can. */
export function rounded(value: number): string {
  return value >= 100 ? Math.round(value).toLocaleString('en') : value.toPrecision(3);
}

/** How often Foretell's figure is the floor's; `undefined` where there is no floor. */
export function ratioOf({ value, floor }: Figure): number | undefined {
  return floor === undefined ? undefined : value / floor;
}

/** A table of Markdown. */
export function table(figures: readonly Figure[]): string {
  const rows = figures.map((figure) => {
    const ratio = ratioOf(figure);
    const floor = figure.floor === undefined ? '' : `${rounded(figure.floor)} ${figure.unit}`;
    return `| ${figure.what} | ${rounded(figure.value)} ${figure.unit} | ${floor} | ${ratio?.toFixed(2) ?? ''} |`;
  });
  return ['| what | Foretell | floor | ratio |', '| --- | --- | --- | --- |', ...rows].join('\n');
}

const ROW = 44;
const LABEL = 300;
const BAR = 380;

/** Foretell beside the floor, a pair of bars for each figure that has one; the longer of a pair is as long as there is room. */
export function chart(figures: readonly Figure[]): string {
  const pairs = figures.filter(({ floor }) => floor !== undefined);
  const rows = pairs.map(({ what, unit, value, floor = 0 }, i) => {
    const most = Math.max(value, floor);
    const bar = (y: number, of: number, fill: string) =>
      `<rect x="${LABEL}" y="${y}" width="${((BAR * of) / most).toFixed(1)}" height="14" fill="${fill}"/>` +
      `<text x="${(LABEL + (BAR * of) / most + 6).toFixed(1)}" y="${y + 12}">${rounded(of)} ${unit}</text>`;
    const y = 30 + i * ROW;
    return `<text x="${LABEL - 8}" y="${y + 20}" text-anchor="end">${what}</text>${bar(y, value, '#3b82c4')}${bar(y + 16, floor, '#9a9a9a')}`;
  });
  const height = 40 + pairs.length * ROW;
  const style = 'text{font:12px sans-serif;fill:#555}@media(prefers-color-scheme:dark){text{fill:#ccc}}';
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 800 ${height}" width="800" height="${height}"><title>Foretell beside the floor</title><style>${style}</style>
<text x="${LABEL}" y="18">blue: Foretell; grey: the same work with bare amqplib, ioredis and onnxruntime-node</text>
${rows.join('\n')}
</svg>
`;
}
