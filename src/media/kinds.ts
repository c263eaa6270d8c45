import { imageReader } from './image.ts';
import { type ImageOptions, imageOptions, registeredImageOptions } from './image-options.ts';
import type { MediaReader, MediaTarget, OptionsFault } from './media.ts';

/** What a manifest may say of an input that is made of a file: one key for each kind of file. */
export interface MediaOptions {
  /** How a picture becomes the tensor. */
  image?: ImageOptions | undefined;
}

export const mediaOptions = {
  image: imageOptions
    .optional()
    .describe('accept a picture, as an upload or a data URL, and make the tensor from it (inputs only)'),
};

/** The same as workers register them. */
export const registeredMediaOptions = { image: registeredImageOptions.optional() };

/** The reader for an input; its faults where the options do not fit the tensor; `undefined` for an input that takes no file. */
export function mediaReader({ image }: MediaOptions, target: MediaTarget): MediaReader | OptionsFault[] | undefined {
  return image && imageReader(image, target);
}
