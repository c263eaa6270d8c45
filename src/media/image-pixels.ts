/** Three bytes a pixel: red, green, blue; row by row. */
export interface Pixels {
  width: number;
  height: number;
  data: Uint8Array;
}

/** One number a pixel, row by row. */
export interface Plane {
  width: number;
  height: number;
  data: Float32Array;
}

/** How bright the pixel is whose red is at `i`, 0 to 255: as ITU-R BT.601 weighs colours, and Pillow and OpenCV do. */
export function greyAt(data: Uint8Array, i: number): number {
  return 0.299 * (data[i] ?? 0) + 0.587 * (data[i + 1] ?? 0) + 0.114 * (data[i + 2] ?? 0);
}

export function greyPlane({ width, height, data }: Pixels): Plane {
  const greys = new Float32Array(width * height);
  for (let i = 0; i < greys.length; i += 1) greys[i] = greyAt(data, i * 3);
  return { width, height, data: greys };
}
