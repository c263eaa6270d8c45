import sharp from 'sharp';
import { beforeAll, describe, expect, test } from 'vitest';
import { anyPhotograph, type DrawnDigit, heldOutDigits, photograph } from '../support/photographs.ts';
import { createRandom } from '../support/random.ts';
import { openService, type Service } from '../support/service.ts';

const dataUrl = (file: Buffer) => `data:image/jpeg;base64,${file.toString('base64')}`;

const SUBMIT_ALL = `mutation ($inputs: [PredictionInput!]!) {
  submitPredictions(inputs: $inputs, options: { waitMs: 30000 }) { prediction { ... on DigitsPrediction { label } } } }`;

describe('a photograph of a digit', () => {
  let service: Service | undefined;
  const digits: DrawnDigit[] = [];
  beforeAll(async () => {
    service = await openService({ servers: { brokerUrl: 'memory:', storeUrl: 'memory:' } });
    digits.push(...(await heldOutDigits()));
    return () => service?.close();
  });

  /** How many pictures the shipped model reads right, through the API. */
  async function right(pictures: { label: string; file: Buffer }[]): Promise<number> {
    const labels: string[] = [];
    // As many as a request's files may be unpacked.
    for (let start = 0; start < pictures.length; start += 50) {
      const inputs = pictures.slice(start, start + 50).map(({ file }) => ({ digits: { image: dataUrl(file) } }));
      const data = await service?.client.get<{ submitPredictions: { prediction: { label: string } }[] }>(SUBMIT_ALL, {
        inputs,
      });
      labels.push(...(data?.submitPredictions ?? []).map(({ prediction }) => prediction.label));
    }
    return labels.filter((label, i) => label === pictures[i]?.label).length;
  }

  // Of digits that the model has never seen; how it does on all 2,000 of them is in models/README.md.
  test('is read, on a page of any size, off the middle, askew, in shadow, with noise, as a JPEG', async () => {
    const random = createRandom(4);
    const pictures: { label: string; file: Buffer }[] = [];
    const some = digits.filter((_, i) => i % 5 === 0);
    for (const digit of some) {
      pictures.push({ label: digit.label, file: await photograph(digit, anyPhotograph(random), random) });
    }
    expect(await right(pictures)).toBeGreaterThanOrEqual(0.9 * some.length);
  }, 60_000);

  test('or a scan of 28 by 28 pixels, dark on light, light on dark, or on nothing', async () => {
    const raw = { raw: { width: 28, height: 28, channels: 1 as const } };
    const make = [
      ({ pixels }: DrawnDigit) => sharp(pixels, raw).png().toBuffer(),
      ({ pixels }: DrawnDigit) => sharp(pixels, raw).negate().png().toBuffer(),
      ({ pixels }: DrawnDigit) => {
        const rgba = Uint8Array.from({ length: pixels.length * 4 }, (_, i) =>
          i % 4 === 3 ? (pixels[i >> 2] ?? 0) : 0,
        );
        return sharp(rgba, { raw: { width: 28, height: 28, channels: 4 } })
          .png()
          .toBuffer();
      },
    ];
    const some = digits.filter((_, i) => i % 10 === 0);
    for (const draw of make) {
      const pictures = await Promise.all(some.map(async (digit) => ({ label: digit.label, file: await draw(digit) })));
      expect(await right(pictures)).toBeGreaterThanOrEqual(0.9 * some.length);
    }
  }, 60_000);

  test('with nothing drawn is refused', async () => {
    const file = await sharp({ create: { width: 300, height: 200, channels: 3, background: '#e8e4da' } })
      .jpeg()
      .toBuffer();
    const answer = await service?.client.ask(SUBMIT_ALL, { inputs: [{ digits: { image: dataUrl(file) } }] });
    expect(answer?.errors?.[0]?.extensions).toMatchObject({
      code: 'INVALID_INPUT',
      issues: [{ path: ['inputs', 0, 'digits', 'image'], message: expect.stringMatching(/found none/) }],
    });
  });
});
