import { readFileSync } from 'node:fs';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { documentQueries, isShown } from '../support/documents.ts';
import { embeddingOf, voiceOf } from '../support/formula-models.ts';
import { predictByTensors, predictTyped } from '../support/predictions.ts';
import { createRandom } from '../support/random.ts';
import { openService, type Service } from '../support/service.ts';

const MODELS_DIR = 'examples/models';

let service: Service;
beforeAll(async () => {
  service = await openService({ servers: { brokerUrl: 'memory:', storeUrl: 'memory:' }, modelsDir: MODELS_DIR });
});
afterAll(() => service.close());

const predict = <P>(model: string, inputs: unknown[], fields: string) =>
  predictTyped<P>(service.client, model, inputs, fields);
const predictTensors = (model: string, inputs: unknown[], version?: string) =>
  predictByTensors(service.client, model, inputs, version);

function expectClose(found: readonly number[], expected: readonly number[]): void {
  expect(found).toHaveLength(expected.length);
  for (const [i, number] of expected.entries()) expect(found[i]).toBeCloseTo(number, 5);
}

test('every query in their README answers as it says there', async () => {
  const queries = documentQueries(`${MODELS_DIR}/README.md`);
  const kinds = new Set(queries.map(({ heading }) => heading.split(':')[0]));
  expect([...kinds].sort()).toEqual(['colours', 'embedding', 'rent', 'spots', 'voice', 'wine']);
  for (const { query, variables, answer: shown } of queries) {
    const answer = await service.client.ask(query, variables);
    expect(isShown(answer, shown), `${query}\n${JSON.stringify(answer)}`).toBe(true);
  }
});

describe('a tree ensemble', () => {
  interface Wine {
    features: number[];
    label: string;
    probabilities: number[];
  }
  const wines: Wine[] = JSON.parse(readFileSync('tests/support/held-out-wines.json', 'utf8'));
  const { inputs } = JSON.parse(readFileSync(`${MODELS_DIR}/wine/model.json`, 'utf8'));
  const names: string[] = inputs.X.fields;

  test('gives the classes and probabilities that scikit-learn gives', async () => {
    const rows = wines.map(({ features }) => Object.fromEntries(features.map((x, i) => [names[i], x])));
    const answers = await predict<Wine>('wine', rows, 'label probabilities');
    expect(answers.map(({ prediction }) => prediction.label)).toEqual(wines.map(({ label }) => label));
    for (const [i, { probabilities }] of wines.entries()) {
      expectClose(answers[i]?.prediction.probabilities ?? [], probabilities);
    }
  });

  test('with a ZipMap is served without its maps, for many rows as for one', async () => {
    const X = { name: 'X', datatype: 'FP32', shape: [wines.length, 13] };
    const data = { floats: wines.flatMap(({ features }) => features) };
    const outputs = await predictTensors('wine', [{ ...X, data }], '1');
    expect(outputs).toMatchObject([{ name: 'output_label', strings: wines.map(({ label }) => label) }]);
  });
});

describe('a model of any length', () => {
  interface Embedding {
    embedding: number[];
    last_hidden_state: number[][];
  }
  const typed = (ids: number[], mask: number[]) => ({ input_ids: ids.map(String), attention_mask: mask.map(String) });
  const fields = 'embedding last_hidden_state';

  test('answers each length as if it were alone; only tasks of one length share a run', async () => {
    const random = createRandom(11);
    const texts = Array.from({ length: 100 }, (_, i) => {
      const ids = Array.from({ length: 1 + (i % 7) }, () => random.integer(0, 31));
      // A first token that counts, for there is no mean of nothing.
      return { ids, mask: ids.map((_id, j) => (j === 0 ? 1 : random.integer(0, 1))) };
    });
    const answers = await predict<Embedding>(
      'embedding',
      texts.map(({ ids, mask }) => typed(ids, mask)),
      fields,
    );
    for (const [i, { ids, mask }] of texts.entries()) {
      const { prediction, batchSize } = answers[i] ?? {};
      const { hidden, mean } = embeddingOf(ids, mask);
      expectClose(prediction?.embedding ?? [], mean);
      expectClose(prediction?.last_hidden_state.flat() ?? [], hidden.flat());
      expect(batchSize).toBeLessThanOrEqual(texts.filter((other) => other.ids.length === ids.length).length);
    }
    expect(answers.some(({ batchSize }) => batchSize !== null && batchSize > 1)).toBe(true);
  });

  test('refuses inputs of different lengths or rows, by both APIs, before anything is queued', async () => {
    const submit = 'mutation ($input: PredictionInput!) { submitPrediction(input: $input) { id } }';
    const longs = (name: string, shape: number[]) => {
      return { name, datatype: 'INT64', shape, data: { longs: Array(Math.max(...shape)).fill('1') } };
    };
    const tensors = (ids: number[], mask: number[]) => ({
      tensors: { model: 'embedding', inputs: [longs('input_ids', ids), longs('attention_mask', mask)] },
    });
    for (const [input, path, dimension] of [
      [{ embedding: typed([1, 2, 3], [1, 1]) }, ['input', 'embedding'], 1],
      [tensors([1, 3], [1, 2]), ['input', 'tensors', 'inputs'], 1],
      [tensors([3, 1], [2, 1]), ['input', 'tensors', 'inputs'], 0],
    ] as const) {
      const { errors } = await service.client.ask(submit, { input });
      expect(errors?.[0]?.extensions).toMatchObject({ code: 'INVALID_INPUT', issues: [{ path }] });
      const of = (size: number, name: string) => `${size} in dimension ${dimension} of input "${name}"`;
      expect(errors?.[0]?.message).toContain(`differ: ${of(3, 'input_ids')}, ${of(2, 'attention_mask')}`);
    }
  });
});

describe('a model of several inputs and outputs', () => {
  const home = (areaM2: number, district: string, furnished: boolean) => ({
    numbers: { areaM2, rooms: 2, floor: 3 },
    district: [district],
    furnished,
  });

  test('takes numbers, text and booleans of each task, and gives each its own', async () => {
    const districts = { harbour: 120, hills: 80, 'old town': 200, elsewhere: 0 };
    const homes = Object.entries(districts).flatMap(([district, extra]) =>
      [30, 75, 110].map((areaM2, i) => {
        const rent = 9 * areaM2 + 80 + 15 + extra + (i === 1 ? 150 : 0);
        const band = rent < 700 ? 'modest' : rent < 1200 ? 'usual' : 'steep';
        const expected = { rent, range: { low: rent * 0.875, high: rent * 1.125 }, band };
        return { input: home(areaM2, district, i === 1), expected };
      }),
    );
    const answers = await predict(
      'rent',
      homes.map(({ input }) => input),
      'rent range { low high } band',
    );
    expect(answers.map(({ prediction }) => prediction)).toEqual(homes.map(({ expected }) => expected));
  });
});

describe('a model with a state', () => {
  /** Some tones and some silence, in numbers that FP32 can hold. */
  function sound(seed: number, length: number): number[] {
    const random = createRandom(seed);
    const pitch = random.integer(5, 50);
    return Array.from({ length }, (_, i) => Math.fround(i % 640 < 400 ? Math.sin(i / pitch) * 0.8 : 0));
  }
  const pieces = (samples: number[], length: number) =>
    Array.from({ length: samples.length / length }, (_, i) => samples.slice(i * length, (i + 1) * length));
  const zeros = () => Array<number>(8).fill(0);

  test('hears in pieces what it hears in one, when the client sends the state along; two sounds do not mix', async () => {
    const typedSound = { samples: sound(1, 1_920), rate: 16_000, state: [[zeros()], [zeros()]], output: 0 };
    const tensorSound = { samples: sound(2, 960), rate: 8_000, state: Buffer.alloc(64).toString('base64'), output: 0 };
    const [ofTyped, ofTensors] = [pieces(typedSound.samples, 480), pieces(tensorSound.samples, 240)];
    for (const [i, piece] of ofTyped.entries()) {
      const input = { input: [piece], state: typedSound.state, sr: String(typedSound.rate) };
      const fields = 'output stateN';
      const [answer] = await predict<{ output: number[][]; stateN: number[][][] }>('voice', [input], fields);
      typedSound.state = answer?.prediction.stateN ?? [];
      typedSound.output = answer?.prediction.output[0]?.[0] ?? Number.NaN;

      const outputs = await predictTensors('voice', [
        { name: 'input', datatype: 'FP32', shape: [1, 240], data: { floats: ofTensors[i] } },
        { name: 'state', datatype: 'FP32', shape: [2, 1, 8], data: { base64: tensorSound.state } },
        { name: 'sr', datatype: 'INT64', shape: [], data: { ints: [tensorSound.rate] } },
      ]);
      tensorSound.state = outputs.find(({ name }) => name === 'stateN')?.base64 ?? '';
      tensorSound.output = outputs.find(({ name }) => name === 'output')?.floats?.[0] ?? Number.NaN;
    }
    const whole = voiceOf(typedSound.samples, typedSound.rate);
    expectClose([typedSound.output, ...typedSound.state.flat(2)], [whole.output, ...whole.state.flat()]);
    const other = voiceOf(tensorSound.samples, tensorSound.rate);
    const bytes = Uint8Array.from(Buffer.from(tensorSound.state, 'base64'));
    const state = [...new Float32Array(bytes.buffer)];
    expectClose([tensorSound.output, ...state], [other.output, ...other.state.flat()]);
    expect(whole.output).not.toBeCloseTo(other.output, 3);
  });
});

const dataUrl = (png: Buffer) => `data:image/png;base64,${png.toString('base64')}`;

test('an image classifier sees the picture, normalised as its manifest says', async () => {
  const colours = [
    { r: 220, g: 30, b: 60 },
    { r: 90, g: 200, b: 120 },
    { r: 10, g: 20, b: 250 },
  ];
  const pictures = colours.map((background) => ({ width: 40, height: 24, channels: 3 as const, background }));
  const files = await Promise.all(pictures.map((create) => sharp({ create }).png().toBuffer()));
  const inputs = files.map((file) => ({ image: dataUrl(file) }));
  const answers = await predict<{ label: string; probabilities: Record<string, number> }>(
    'colours',
    inputs,
    'label probabilities { red green blue }',
  );
  expect(answers.map(({ prediction }) => prediction.label)).toEqual(['red', 'green', 'blue']);
  for (const [i, { r, g, b }] of colours.entries()) {
    const parts = [r, g, b].map((value) => Math.exp((5 * value) / 255));
    const sum = parts.reduce((total, part) => total + part, 0);
    expectClose(
      Object.values(answers[i]?.prediction.probabilities ?? {}),
      parts.map((part) => part / sum),
    );
  }
});

describe('a detector', () => {
  /** White rectangles on black, 32 by 32. */
  async function picture(...boxes: { top: number; left: number; bottom: number; right: number }[]): Promise<Buffer> {
    const pixels = Buffer.alloc(32 * 32);
    for (const { top, left, bottom, right } of boxes) {
      for (let y = top; y < bottom; y += 1) pixels.fill(255, y * 32 + left, y * 32 + right);
    }
    return sharp(pixels, { raw: { width: 32, height: 32, channels: 1 } })
      .png()
      .toBuffer();
  }
  const box = (top: number, left: number) => ({ top, left, bottom: top + 8, right: left + 8 });

  test('gives as many boxes as there are, none included', async () => {
    const scenes = [[], [box(4, 8)], [box(0, 0), box(12, 20), box(24, 4)], []];
    const inputs = await Promise.all(scenes.map(async (boxes) => ({ image: dataUrl(await picture(...boxes)) })));
    const answers = await predict('spots', inputs, 'boxes { top left bottom right } scores');
    expect(answers.map(({ prediction }) => prediction)).toEqual(
      scenes.map((boxes) => ({ boxes, scores: boxes.map(() => 1) })),
    );
  });

  test('gives no box by its tensors, either', async () => {
    const floats = Array<number>(32 * 32).fill(0);
    const outputs = await predictTensors('spots', [
      { name: 'images', datatype: 'FP32', shape: [1, 1, 32, 32], data: { floats } },
    ]);
    expect(outputs).toMatchObject([
      { name: 'boxes', shape: [0, 4], floats: [] },
      { name: 'scores', shape: [0], floats: [] },
    ]);
  });

  test('keeps one of two boxes that overlap', async () => {
    const bar = { ...box(8, 8), right: 20 };
    const [answer] = await predict<{ scores: number[] }>('spots', [{ image: dataUrl(await picture(bar)) }], 'scores');
    expect(answer?.prediction.scores).toEqual([1]);
  });
});
