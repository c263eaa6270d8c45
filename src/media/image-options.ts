import { z } from 'zod';

/** Of the picture that a model sees, in pixels. */
const SIDE_MAX = 4_096;

const side = z.int().min(1).max(SIDE_MAX);
const perChannel = (one: z.ZodNumber) => z.union([one, z.array(one).min(1).max(3)]);

/** `inputs.<tensor>.image` of a manifest; every key is optional. */
export const imageOptions = z.strictObject({
  colour: z
    .enum(['grayscale', 'rgb', 'bgr'])
    .optional()
    .describe('order of the channels; default: grayscale for one, rgb for three'),
  layout: z
    .enum(['HW', 'CHW', 'HWC'])
    .optional()
    .describe('the dimensions without the batch; default: found by the place of the 1 or 3 channels'),
  width: side.optional().describe('in pixels, if the shape leaves it free'),
  height: side.optional().describe('in pixels, if the shape leaves it free'),
  fit: z
    .enum(['cover', 'contain', 'fill'])
    .optional()
    .describe('cover crops (default), contain pads with the background, fill stretches'),
  background: z
    .string()
    .regex(/^#[0-9a-fA-F]{6}$/, 'expected a colour as #rrggbb')
    .optional()
    .describe('colour behind transparent and padded parts; default: #ffffff'),
  invert: z.boolean().optional().describe('swap dark and bright'),
  ink: z
    .strictObject({ box: side })
    .optional()
    .describe(
      'for drawings: remove shadows, crop to the ink, scale it into a box of this many pixels, and centre it by mass; paper becomes 0, ink 255',
    ),
  scale: z.number().optional().describe('factor for each pixel value (0 to 255); default: 1/255, or 1 for integers'),
  mean: perChannel(z.number())
    .optional()
    .describe('subtracted after scale; one number, or one per channel; default: 0'),
  std: perChannel(z.number().positive())
    .optional()
    .describe('divisor after mean; one number, or one per channel; default: 1'),
});

/** The same as a worker registers it, perhaps one of another release: keys that are not known are passed over. */
export const registeredImageOptions = imageOptions.loose().extend({ ink: z.looseObject({ box: side }).optional() });

export type ImageOptions = z.infer<typeof imageOptions>;
