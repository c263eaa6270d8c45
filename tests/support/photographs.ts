import sharp from 'sharp';
import type { Random } from './random.ts';

/** Rows of 28 pixels, 28 of them, 0 paper to 255 ink. */
export interface DrawnDigit {
  label: string;
  pixels: Uint8Array;
}

const SIDE = 28;
/** Different values of the noise. */
const GRAINS = 4_096;

/** Twenty of each digit that the model `digits` was not trained on (see models/README.md): a row of the picture each. */
export async function heldOutDigits(): Promise<DrawnDigit[]> {
  const picture = sharp(new URL('held-out-digits.png', import.meta.url).pathname).toColourspace('b-w');
  const { data, info } = await picture.raw().toBuffer({ resolveWithObject: true });
  const columns = info.width / SIDE;
  return Array.from({ length: columns * (info.height / SIDE) }, (_, i) => {
    const first = Math.floor(i / columns) * SIDE * info.width + (i % columns) * SIDE;
    const pixelAt = (_: unknown, pixel: number) =>
      data[first + Math.floor(pixel / SIDE) * info.width + (pixel % SIDE)] ?? 0;
    return { label: String(Math.floor(i / columns)), pixels: Uint8Array.from({ length: SIDE * SIDE }, pixelAt) };
  });
}

/** How a digit was drawn and photographed. */
export interface Photograph {
  width: number;
  height: number;
  /** How much of the picture's shorter side the digit's 28 pixels take. */
  share: number;
  /** Where the digit is, 0 to 1: from the left and top to the right and bottom, as far as it stays inside. */
  x: number;
  y: number;
  /** Degrees that the camera was held askew. */
  angle: number;
  paper: [number, number, number];
  ink: [number, number, number];
  /** How much of the light is missing at the darkest corner, 0 to 1, and the direction it comes from, in degrees. */
  shadow: number;
  light: number;
  /** Standard deviation of the sensor's noise, in steps of 255. */
  noise: number;
  /** Of the JPEG. */
  quality: number;
}

const BLACK: Photograph['ink'] = [25, 25, 30];
const PENS: [number, number, number][] = [BLACK, [30, 40, 110], [110, 20, 30], [95, 95, 98]];

/** A page as people photograph one: dark on light, off the middle, in uneven light. */
export function anyPhotograph(random: Random): Photograph {
  const between = (least: number, greatest: number) => least + random.fraction() * (greatest - least);
  const width = Math.round(between(240, 1_200));
  const grey = between(150, 250);
  return {
    width,
    height: Math.round(width * between(0.7, 1.4)),
    share: between(0.25, 0.95),
    x: random.fraction(),
    y: random.fraction(),
    angle: between(-8, 8),
    paper: [grey, grey * between(0.93, 1), grey * between(0.8, 0.98)],
    ink: random.some(1, PENS)[0] ?? BLACK,
    shadow: between(0, 0.6),
    light: between(0, 360),
    noise: between(2, 12),
    quality: Math.round(between(50, 95)),
  };
}

/** A JPEG of the digit on a page. */
export async function photograph({ pixels }: DrawnDigit, how: Photograph, random: Random): Promise<Buffer> {
  const { width, height, share, angle, paper, ink, quality } = how;
  const size = Math.round(Math.min(width, height) * share);
  const { data: mask, info } = await sharp(pixels, { raw: { width: SIDE, height: SIDE, channels: 1 } })
    .resize(size, size, { kernel: 'cubic' })
    .rotate(angle, { background: '#000000' })
    .toColourspace('b-w')
    .raw()
    .toBuffer({ resolveWithObject: true });
  const left = Math.round((width - info.width) * how.x);
  const top = Math.round((height - info.height) * how.y);
  const data = new Uint8Array(width * height * 3);
  const grains = Float32Array.from({ length: GRAINS }, () => how.noise * normal(random));
  for (let y = 0, i = 0; y < height; y += 1) {
    for (let x = 0; x < width; x += 1, i += 3) {
      const [column, row] = [x - left, y - top];
      const isInside = column >= 0 && column < info.width && row >= 0 && row < info.height;
      const cover = isInside ? (mask[(row * info.width + column) * info.channels] ?? 0) / 255 : 0;
      const light = lightAt(how, x / width - 0.5, y / height - 0.5);
      const grain = grains[random.integer(0, GRAINS - 1)] ?? 0;
      for (let channel = 0; channel < 3; channel += 1) {
        const bright = paper[channel] ?? 0;
        const value = (bright + ((ink[channel] ?? 0) - bright) * cover) * light + grain;
        data[i + channel] = Math.min(255, Math.max(0, value));
      }
    }
  }
  return sharp(data, { raw: { width, height, channels: 3 } })
    .jpeg({ quality })
    .toBuffer();
}

/** Full where the light comes from, and going down evenly to the far corner. */
function lightAt({ light, shadow }: Photograph, x: number, y: number): number {
  const radians = (light * Math.PI) / 180;
  return 1 - shadow * (0.5 + (x * Math.cos(radians) + y * Math.sin(radians)) / Math.SQRT2);
}

/** Normally distributed, after Box and Muller. */
function normal(random: Random): number {
  return Math.sqrt(-2 * Math.log(1 - random.fraction())) * Math.cos(2 * Math.PI * random.fraction());
}
