import { z } from 'zod';

/** Of the picture that a model sees, in pixels. */
const SIDE_MAX = 4_096;

const side = z.int().min(1).max(SIDE_MAX);
const perChannel = (one: z.ZodNumber) => z.union([one, z.array(one).min(1).max(3)]);

/** `inputs.<tensor>.image` of a manifest; every key is optional. */
export const imageOptions = z.strictObject({
  colour: z.enum(['grayscale', 'rgb', 'bgr']).optional().describe('default: by the channels, grayscale or rgb'),
  layout: z
    .enum(['HW', 'CHW', 'HWC'])
    .optional()
    .describe('the dimensions, without the batch; default: recognised, by where the 1 or 3 channels are'),
  width: side.optional().describe('pixels, where the shape leaves it free'),
  height: side.optional().describe('pixels, where the shape leaves it free'),
  fit: z
    .enum(['cover', 'contain', 'fill'])
    .optional()
    .describe('cut what protrudes (cover, the default), pad with the background, or stretch'),
  background: z
    .string()
    .regex(/^#[0-9a-fA-F]{6}$/, 'expected a colour as #rrggbb')
    .optional()
    .describe('behind what is transparent or padded; default: #ffffff'),
  invert: z.boolean().optional().describe('whether dark becomes bright'),
  ink: z
    .strictObject({ box: side })
    .optional()
    .describe(
      'finds what is drawn, dark on light or light on dark, removes shadows, crops to it, scales it into a box of so many pixels, and centres it by its mass; paper is 0, ink 255',
    ),
  scale: z.number().optional().describe('a pixel, 0 to 255, is multiplied by it; default: 1/255, for integers 1'),
  mean: perChannel(z.number()).optional().describe('is then subtracted, one number or one a channel; default: 0'),
  std: perChannel(z.number().positive())
    .optional()
    .describe('is what the difference is divided by, one number or one a channel; default: 1'),
});

/** The same as a worker registers it, perhaps one of another release: keys that are not known are passed over. */
export const registeredImageOptions = imageOptions.loose().extend({ ink: z.looseObject({ box: side }).optional() });

export type ImageOptions = z.infer<typeof imageOptions>;
