import { type Datatype, describeShape, STORAGE } from '../tensor/tensor.ts';
import type { ImageOptions } from './image-options.ts';
import type { MediaTarget, OptionsFault } from './media.ts';

/** How a picture becomes a tensor: the manifest's options beside the tensor's shape, nothing left open. */
export interface ImagePlan {
  width: number;
  height: number;
  colour: 'grayscale' | 'rgb' | 'bgr';
  layout: 'HW' | 'CHW' | 'HWC';
  fit: 'cover' | 'contain' | 'fill';
  background: string;
  invert: boolean;
  /** The box that what is drawn is scaled into; `undefined` for a picture that is taken as it is. */
  inkBox?: number | undefined;
  /** The value of a pixel from 0 to 255, by channel. */
  values: number[][];
  shape: number[];
  datatype: Exclude<Datatype, 'STRING' | 'BOOL'>;
}

type Shape = (number | null)[];
const CHANNELS = { grayscale: 1, rgb: 3, bgr: 3 };

/** The plan, or each fault of options that do not fit the tensor. */
export function imagePlan(options: ImageOptions, { shape, datatype }: MediaTarget): ImagePlan | OptionsFault[] {
  const faults: OptionsFault[] = [];
  const fault = (path: string, message: string) => faults.push({ path, message });
  if (datatype === 'STRING' || datatype === 'BOOL') {
    return [{ path: '', message: `expected a tensor of numbers, got ${datatype}` }];
  }
  const layout = shape && layoutOf(shape, options.layout);
  if (!shape || !layout) return [layoutFault(shape, options.layout)];
  // A batch that is fixed at one, or an unbatched model's own.
  const inner = shape.slice(-layout.length);
  const sizeOf = (letter: string) => inner[layout.indexOf(letter)] ?? null;
  const channels = layout === 'HW' ? 1 : sizeOf('C');
  const colour = options.colour ?? (channels === 1 ? 'grayscale' : 'rgb');
  if (channels !== null && CHANNELS[colour] !== channels) {
    fault('colour', `${colour} has ${CHANNELS[colour]} channels, ${describeShape(shape)} has ${channels}`);
  }
  const { height, width } = sidesOf(options, { height: sizeOf('H'), width: sizeOf('W') }, shape, fault);
  inkFaults(options, colour, Math.min(height, width), fault);
  const values = valuesOf(options, CHANNELS[colour], datatype, fault);
  if (faults.length > 0) return faults;
  const lengths = { C: CHANNELS[colour], H: height, W: width };
  const rowShape = [...layout].map((letter) => lengths[letter as keyof typeof lengths]);
  return {
    ...{ width, height, colour, layout, values, datatype },
    fit: options.fit ?? 'cover',
    background: options.background ?? '#ffffff',
    invert: options.invert ?? false,
    inkBox: options.ink?.box,
    shape: [...shape.slice(0, -layout.length).map(() => 1), ...rowShape],
  };
}

interface Sides<Length> {
  height: Length;
  width: Length;
}

/** The tensor's own, or where it leaves them free, those of the options. */
function sidesOf(options: ImageOptions, own: Sides<number | null>, shape: Shape, fault: Fault): Sides<number> {
  const sides = { height: own.height ?? options.height, width: own.width ?? options.width };
  for (const side of ['height', 'width'] as const) {
    const said = options[side];
    if (sides[side] === undefined) fault(side, `expected a number of pixels: ${describeShape(shape)} leaves it free`);
    else if (said !== undefined && said !== sides[side]) fault(side, `${said} does not fit ${describeShape(shape)}`);
  }
  const { height = 1, width = 1 } = sides;
  if (height < 1 || width < 1) fault('', `expected pixels, got shape ${describeShape(shape)}`);
  return { height, width };
}

/** `undefined` where the dimensions are none of a picture, or may be read in two ways. */
function layoutOf(shape: Shape, said: ImageOptions['layout']): ImagePlan['layout'] | undefined {
  const fits = (layout: ImagePlan['layout']) => {
    const leading = shape.slice(0, -layout.length);
    const channels = shape.slice(-layout.length)[layout.indexOf('C')];
    const isColour = layout === 'HW' || (channels === null ? said === layout : channels === 1 || channels === 3);
    return shape.length >= layout.length && leading.every((length) => length === 1 || length === null) && isColour;
  };
  if (said) return fits(said) ? said : undefined;
  const found = (shape.length === 2 ? ['HW' as const] : (['CHW', 'HWC'] as const)).filter(fits);
  return found.length === 1 ? found[0] : undefined;
}

function layoutFault(shape: MediaTarget['shape'], said: ImageOptions['layout']): OptionsFault {
  const found = describeShape(shape);
  if (said) return { path: 'layout', message: `${said} does not fit ${found}, with 1 or 3 channels` };
  const message = `expected the dimensions of a picture, with 1 or 3 channels in one place, got ${found}; \`layout\` says which is which`;
  return { path: '', message };
}

type Fault = (path: string, message: string) => void;

function inkFaults({ ink, fit, invert }: ImageOptions, colour: string, shorter: number, fault: Fault): void {
  if (!ink) return;
  if (colour !== 'grayscale') fault('ink', `expected grayscale, got ${colour}`);
  if (ink.box > shorter) fault('ink.box', `expected at most ${shorter}, the picture's shorter side, got ${ink.box}`);
  if (fit !== undefined) fault('fit', 'has no effect with `ink`, which crops and scales by itself');
  if (invert !== undefined) fault('invert', 'has no effect with `ink`, which is always bright');
}

/** (pixel × scale − mean) / std for every pixel value there is. */
function valuesOf(options: ImageOptions, channels: number, datatype: Datatype, fault: Fault): number[][] {
  const { range } = STORAGE[datatype];
  const { scale = range ? 1 : 1 / 255, mean = 0, std = 1 } = options;
  const each = (key: 'mean' | 'std', given: number | number[]) => {
    if (!Array.isArray(given)) return Array.from({ length: channels }, () => given);
    if (given.length !== channels) fault(key, `expected ${channels} numbers, one per channel, got ${given.length}`);
    return given;
  };
  const [means, stds] = [each('mean', mean), each('std', std)];
  const values = means.map((less, channel) =>
    Array.from({ length: 256 }, (_, pixel) => (pixel * scale - less) / (stds[channel] ?? 1)),
  );
  if (!range) return values;
  const rounded = values.map((channel) => channel.map(Math.round));
  const [least, greatest] = [Math.min(...rounded.flat()), Math.max(...rounded.flat())];
  if (least < range[0] || greatest > range[1]) {
    fault('scale', `pixels become ${least} to ${greatest}, which ${datatype} cannot hold`);
  }
  return rounded;
}
