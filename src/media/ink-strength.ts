import type { Plane } from './image-pixels.ts';

/** The ground is judged in a square of 3 by 3 tiles, so that a stroke never is most of what is looked at. */
const TILES = 8;
const LEVELS = 256;
/** Steps in which contrast, 0 to 1, is counted. */
const STEPS = 1_024;
/** Ink differs from its ground by at least this part of the ground's brightness; less is a stain, or grain. */
const CONTRAST_MIN = 0.12;
/** Ink exceeds grain by at least this factor; the strongest of pure grain does so by a tenth. */
const GRAIN_FACTOR = 1.3;

/**
 * How much ink is at each pixel, 0 to 1, whatever the light: each is compared with the ground around it, so that shadows go. Ink is
 * what there is less of, dark on light or light on dark. `undefined` where nothing stands out.
 */
export function inkStrength(grey: Plane): Plane | undefined {
  const { width, height, data } = grey;
  const tiles = surroundings(grey);
  const contrast = contrastTo(data, isDarkOnLight(grey, tiles), (part) => groundPlane(grey, tiles, part));
  const { grain, full } = inkLevels(contrast);
  if (full < CONTRAST_MIN || full < GRAIN_FACTOR * grain) return undefined;
  // What remains of a shadow's edge is weaker than ink.
  const least = Math.max(grain, full * 0.3);
  // Loops, here and below: what is called for each pixel makes a number on the heap for each.
  for (let i = 0; i < contrast.length; i += 1) {
    contrast[i] = Math.min(1, Math.max(0, ((contrast[i] ?? 0) - least) / (full - least)));
  }
  return { width, height, data: contrast };
}

/** Which way the fewer pixels differ from the middle of what is around them. */
function isDarkOnLight(grey: Plane, tiles: readonly Uint32Array[]): boolean {
  const middle = groundPlane(grey, tiles, 0.5);
  let skew = 0;
  for (let i = 0; i < middle.length; i += 1) {
    const difference = (grey.data[i] ?? 0) - (middle[i] ?? 0);
    skew += difference * difference * difference;
  }
  return skew < 0;
}

/** How far each pixel is from the ground towards black or white, 0 to 1. */
function contrastTo(data: Float32Array, isDark: boolean, groundAt: (part: number) => Float32Array): Float32Array {
  const ground = groundAt(isDark ? 0.85 : 0.15);
  const contrast = new Float32Array(data.length);
  for (let i = 0; i < data.length; i += 1) {
    const [value, paper] = [data[i] ?? 0, ground[i] ?? 0];
    const difference = isDark ? 1 - value / Math.max(paper, 1) : (value - paper) / Math.max(255 - paper, 1);
    contrast[i] = Math.max(0, difference);
  }
  return contrast;
}

/** What grain reaches, and how strong ink is where it is full. */
function inkLevels(contrast: Float32Array): { grain: number; full: number } {
  const counts = countSteps(contrast, 0);
  const median = quantile(counts, 0.5) / STEPS;
  // Scaled so that it is the standard deviation where the grain is normally distributed.
  const deviation = (1.4826 * quantile(countSteps(contrast, median), 0.5)) / STEPS;
  const grain = median + 3 * deviation;
  const standing = counts.fill(0, 0, Math.floor(grain * STEPS) + 1);
  const strong = standing.fill(0, 0, otsu(standing));
  return { grain, full: strong.some((count) => count > 0) ? quantile(strong, 0.5) / STEPS : 0 };
}

/** How many values are how far from this one. */
function countSteps(values: Float32Array, from: number): Uint32Array {
  const counts = new Uint32Array(STEPS + 1);
  for (let i = 0; i < values.length; i += 1) {
    const step = Math.round(Math.min(Math.abs((values[i] ?? 0) - from), 1) * STEPS);
    counts[step] = (counts[step] ?? 0) + 1;
  }
  return counts;
}

/** The level that parts values best, after Otsu: where the two sides' means are farthest apart, by how many there are. */
function otsu(counts: Uint32Array): number {
  const all = counts.reduce((sum, count) => sum + count, 0);
  const total = counts.reduce((sum, count, level) => sum + count * level, 0);
  let best = { apart: -1, level: 0 };
  let [below, belowTotal] = [0, 0];
  for (const [level, count] of counts.entries()) {
    const apart = below * (all - below) * (belowTotal / below - (total - belowTotal) / (all - below)) ** 2;
    if (count > 0 && apart > best.apart) best = { apart, level };
    below += count;
    belowTotal += count * level;
  }
  return best.level;
}

/** For each tile, how often each brightness is in it and in those around it. */
function surroundings({ width, height, data }: Plane): Uint32Array[] {
  const counts = Array.from({ length: TILES * TILES }, () => new Uint32Array(LEVELS));
  for (let y = 0, i = 0; y < height; y += 1) {
    const row = Math.floor((y * TILES) / height) * TILES;
    for (let x = 0; x < width; x += 1, i += 1) {
      const tile = counts[row + Math.floor((x * TILES) / width)];
      const level = Math.round(data[i] ?? 0);
      if (tile) tile[level] = (tile[level] ?? 0) + 1;
    }
  }
  return counts.map((_, tile) => {
    const sum = new Uint32Array(LEVELS);
    for (const near of tilesAround(tile)) {
      const tileCounts = counts[near];
      for (let level = 0; level < LEVELS; level += 1) sum[level] = (sum[level] ?? 0) + (tileCounts?.[level] ?? 0);
    }
    return sum;
  });
}

function tilesAround(tile: number): number[] {
  const near = (place: number) => [place - 1, place, place + 1].filter((one) => one >= 0 && one < TILES);
  return near(Math.floor(tile / TILES)).flatMap((row) => near(tile % TILES).map((column) => row * TILES + column));
}

/** The brightness that this part of the surroundings stays below, for each pixel; between the middles of tiles it goes over evenly. */
function groundPlane({ width, height }: Plane, tiles: readonly Uint32Array[], part: number): Float32Array {
  const levels = tiles.map((counts) => quantile(counts, part));
  const [columns, rows] = [between(width), between(height)];
  const ground = new Float32Array(width * height);
  const across = new Float32Array(TILES);
  for (let y = 0, i = 0; y < height; y += 1) {
    const row = rows[y] ?? 0;
    const upper = Math.floor(row) * TILES;
    const lower = Math.min(upper + TILES, TILES * (TILES - 1));
    for (let column = 0; column < TILES; column += 1) {
      across[column] = mix(levels[upper + column] ?? 0, levels[lower + column] ?? 0, row % 1);
    }
    for (let x = 0; x < width; x += 1, i += 1) {
      const column = columns[x] ?? 0;
      const left = Math.floor(column);
      ground[i] = mix(across[left] ?? 0, across[Math.min(left + 1, TILES - 1)] ?? 0, column % 1);
    }
  }
  return ground;
}

function mix(one: number, other: number, part: number): number {
  return one + (other - one) * part;
}

/** For each pixel of a side, where it is among the tiles: at 1.5 it is between the middles of the second and the third. */
function between(length: number): Float64Array {
  const place = (i: number) => Math.min(Math.max(((i + 0.5) * TILES) / length - 0.5, 0), TILES - 1);
  return Float64Array.from({ length }, (_, i) => place(i));
}

/** The level that this part of what was counted does not exceed. */
function quantile(counts: Uint32Array, part: number): number {
  let wanted = counts.reduce((sum, count) => sum + count, 0) * part;
  return counts.findIndex((count) => {
    wanted -= count;
    return wanted <= 0;
  });
}
