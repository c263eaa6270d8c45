import type { Plane } from './image-pixels.ts';
import { inkStrength } from './ink-strength.ts';

/** Pixels of the longer side in which ink is looked for: enough for strokes, and a few milliseconds of arithmetic. */
export const INK_SIDE = 256;

/** A part with less than this of the greatest part's ink is a speck; the stroke on top of a 5 may be a part of its own. */
const PART_MIN = 0.1;

interface InkFrame {
  /** Of the result, in pixels. */
  width: number;
  height: number;
  /** What is drawn is scaled until its longer side is as long. */
  box: number;
}

/**
 * What is drawn on a plain ground, as MNIST prepares its digits: ink is 1 and ground 0, cut out, scaled into a box, and put with its centre
 * of mass in the middle. `undefined` where nothing is drawn.
 */
export function findInk(grey: Plane, frame: InkFrame): Float32Array | undefined {
  const strength = inkStrength(grey);
  if (!strength) return undefined;
  const ink = withoutSpecks(strength);
  const extent = extentOf(ink);
  return place(ink, extent, frame);
}

/** Sets all ink to 0 that hangs together with little other ink. */
function withoutSpecks(ink: Plane): Plane {
  const partOf = new Int32Array(ink.data.length).fill(-1);
  const masses: number[] = [];
  for (let start = 0; start < partOf.length; start += 1) {
    if (partOf[start] === -1 && ink.data[start]) masses.push(markPart(ink, partOf, start, masses.length));
  }
  const least = Math.max(...masses) * PART_MIN;
  const data = new Float32Array(ink.data.length);
  for (let i = 0; i < data.length; i += 1) {
    if ((masses[partOf[i] ?? -1] ?? 0) >= least) data[i] = ink.data[i] ?? 0;
  }
  return { ...ink, data };
}

/** Marks all ink that hangs together with this pixel's; returns how much it is. */
function markPart({ width, height, data }: Plane, partOf: Int32Array, start: number, part: number): number {
  const pending = [start];
  let mass = 0;
  partOf[start] = part;
  for (let i = pending.pop(); i !== undefined; i = pending.pop()) {
    mass += data[i] ?? 0;
    const x = i % width;
    const y = (i - x) / width;
    for (let row = Math.max(0, y - 1); row <= Math.min(height - 1, y + 1); row += 1) {
      for (let column = Math.max(0, x - 1); column <= Math.min(width - 1, x + 1); column += 1) {
        const next = row * width + column;
        if (partOf[next] !== -1 || !data[next]) continue;
        partOf[next] = part;
        pending.push(next);
      }
    }
  }
  return mass;
}

interface Extent {
  left: number;
  right: number;
  top: number;
  bottom: number;
  /** The centre of mass. */
  x: number;
  y: number;
}

function extentOf({ width, data }: Plane): Extent {
  const extent = { left: Infinity, right: 0, top: Infinity, bottom: 0, x: 0, y: 0 };
  let mass = 0;
  for (let i = 0; i < data.length; i += 1) {
    const ink = data[i] ?? 0;
    if (ink === 0) continue;
    const x = i % width;
    const y = (i - x) / width;
    mass += ink;
    extent.x += ink * (x + 0.5);
    extent.y += ink * (y + 0.5);
    // The soft edge of a stroke is no part of its length.
    if (ink < 0.5) continue;
    extent.left = Math.min(extent.left, x);
    extent.right = Math.max(extent.right, x + 1);
    extent.top = Math.min(extent.top, y);
    extent.bottom = Math.max(extent.bottom, y + 1);
  }
  return { ...extent, x: extent.x / mass, y: extent.y / mass };
}

function place(ink: Plane, extent: Extent, { width, height, box }: InkFrame): Float32Array {
  const { left, right, top, bottom } = extent;
  const scale = box / Math.max(right - left, bottom - top);
  // By its mass, but not so far that a part of it is outside.
  const x = within(extent.x, right - width / scale / 2, left + width / scale / 2);
  const y = within(extent.y, bottom - height / scale / 2, top + height / scale / 2);
  const columns = Array.from({ length: width }, (_, i) => weightsOf(x + (i - width / 2) / scale, 1 / scale, ink.width));
  const rows = Array.from({ length: height }, (_, i) => weightsOf(y + (i - height / 2) / scale, 1 / scale, ink.height));
  const placed = new Float32Array(width * height);
  for (const [row, vertical] of rows.entries()) {
    for (const [column, horizontal] of columns.entries()) {
      let sum = 0;
      for (const [y, high] of vertical) {
        for (const [x, wide] of horizontal) sum += high * wide * (ink.data[y * ink.width + x] ?? 0);
      }
      placed[row * width + column] = sum;
    }
  }
  const peak = Math.max(...placed);
  return placed.map((value) => value / peak);
}

function within(value: number, least: number, greatest: number): number {
  return Math.min(Math.max(value, least), greatest);
}

/** Which pixels a stretch from `start` covers, and which part of it each is. */
function weightsOf(start: number, length: number, count: number): [number, number][] {
  const weights: [number, number][] = [];
  for (let i = Math.max(0, Math.floor(start)); i < Math.min(count, start + length); i += 1) {
    const covered = Math.min(i + 1, start + length) - Math.max(i, start);
    if (covered > 0) weights.push([i, covered / length]);
  }
  return weights;
}
