import { createFairQueue } from '../ledger/fair-queue.ts';
import { bytesOf, elementCount, STORAGE, viewAs } from '../tensor/tensor.ts';
import type { ImageOptions } from './image-options.ts';
import { greyAt, greyPlane, type Pixels } from './image-pixels.ts';
import { type ImagePlan, imagePlan } from './image-plan.ts';
import { findInk, INK_SIDE } from './ink.ts';
import { MediaFault, type MediaReader, type MediaTarget, type OptionsFault } from './media.ts';

/**
 * Pictures of all requests that are unpacked at once. They take threads that file names and addresses are looked up in too, and up to
 * some 240 MiB each.
 */
const AT_ONCE = 2;
const queue = createFairQueue(AT_ONCE);

/** Makes a tensor out of a JPEG, PNG, WebP or GIF; the faults where the options do not fit the tensor. */
export function imageReader(options: ImageOptions, target: MediaTarget): MediaReader | OptionsFault[] {
  const plan = imagePlan(options, target);
  if (Array.isArray(plan))
    return plan.map(({ path, message }) => ({ path: path ? `image.${path}` : 'image', message }));
  const bytes = elementCount(plan.shape) * STORAGE[plan.datatype].bytes;
  return {
    kind: 'Image',
    shape: plan.shape,
    bytes,
    read: (file, allowance) =>
      queue.run(allowance.owner, async () => {
        allowance.hold(bytes);
        // Only a process that is sent a picture loads the library.
        const { decodeImage } = await import('./image-decoder.ts');
        const { width, height, fit, background } = plan;
        const size = plan.inkBox === undefined ? { width, height, fit } : INK_SIZE;
        const pixels = await decodeImage(file, { ...size, background }, allowance);
        return tensorOf(plan, plan.inkBox === undefined ? pixels : inkPixels(pixels, plan, plan.inkBox));
      }),
  };
}

const INK_SIZE = { width: INK_SIDE, height: INK_SIDE, fit: 'inside' } as const;

function inkPixels(pixels: Pixels, { width, height }: ImagePlan, box: number): Pixels {
  const ink = findInk(greyPlane(pixels), { width, height, box });
  if (!ink) throw new MediaFault('expected a drawing on a plain background, found none');
  const data = new Uint8Array(ink.length * 3);
  for (const [i, value] of ink.entries()) data.fill(Math.round(value * 255), i * 3, i * 3 + 3);
  return { width, height, data };
}

/** The pixels as the model's own numbers, in the order of its dimensions. */
function tensorOf(plan: ImagePlan, { data }: Pixels): Uint8Array {
  const { values, datatype } = plan;
  const array = viewAs(datatype, new Uint8Array((data.length / 3) * values.length * STORAGE[datatype].bytes));
  for (const channel of values.keys()) fillChannel(array, channel, plan, data);
  return bytesOf(array);
}

function fillChannel(array: ReturnType<typeof viewAs>, channel: number, plan: ImagePlan, data: Uint8Array): void {
  const { colour, layout, invert, values, datatype } = plan;
  const table = values[channel] ?? [];
  const pixels = data.length / 3;
  const isWide = STORAGE[datatype].bytes === 8 && STORAGE[datatype].kind === 'long';
  const flip = invert ? 255 : 0;
  const source = colour === 'bgr' ? 2 - channel : channel;
  const [first, stride] = layout === 'HWC' ? [channel, values.length] : [channel * pixels, 1];
  for (let i = 0; i < pixels; i += 1) {
    const pixel = colour === 'grayscale' ? Math.round(greyAt(data, i * 3)) : (data[i * 3 + source] ?? 0);
    const value = table[Math.abs(flip - pixel)] ?? 0;
    array[first + i * stride] = isWide ? BigInt(value) : value;
  }
}
