import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { DATATYPES, type Datatype, elementCount, STORAGE, type Tensor } from '../../src/tensor/tensor.ts';
import { type Element, elementsOf, pack } from '../../src/tensor/tensor-values.ts';
import { writeModel } from '../support/model-files.ts';
import { identity, unary } from '../support/onnx-models.ts';
import { createRandom, type Random } from '../support/random.ts';
import { openService, type Service } from '../support/service.ts';

const RANKS = [0, 1, 2, 5];
const KINDS = DATATYPES.flatMap((datatype) => RANKS.map((rank) => ({ datatype, rank, name: `${datatype}-${rank}.d` })));
const LIST = { float: 'floats', int: 'ints', long: 'longs', boolean: 'booleans', string: 'strings' } as const;
/** Dimension 0 is a list like the others, and no batch. */
const ALL_DIMENSIONS = { batched: false };
const TEXTS = ['', 'a', 'ß', '日本', '"\\\n\t', '\u2028', '👩‍🔬', '__proto__', '0', 'NaN'];

/** `y = x` of every datatype and rank: what comes out is what went in, to the bit, by every way in and out. */
describe('every datatype and shape', () => {
  const random = createRandom(13);
  let service: Service;
  let modelsDir: string;
  beforeAll(async () => {
    modelsDir = await mkdtemp(join(tmpdir(), 'foretell-datatypes-'));
    for (const { datatype, rank, name } of KINDS) {
      await writeModel(modelsDir, name, {
        manifest: ALL_DIMENSIONS,
        onnx: identity(
          datatype,
          Array.from({ length: rank }, (_, i) => `d${i}`),
        ),
      });
    }
    await writeModel(modelsDir, 'log', { manifest: ALL_DIMENSIONS, onnx: unary('Log', 'FP32', ['d0']) });
    service = await openService({ servers: { brokerUrl: 'memory:', storeUrl: 'memory:' }, modelsDir });
  });
  afterAll(async () => {
    await service.close();
    await rm(modelsDir, { recursive: true });
  });

  /** One tensor of each datatype and rank, some of them with no element at all. */
  const tensors = (elementOf: (datatype: Datatype) => Element) =>
    KINDS.map(({ datatype, rank, name: model }): { model: string; tensor: Tensor } => {
      const shape = Array.from({ length: rank }, () => random.integer(random.chance(0.1) ? 0 : 1, 3));
      const elements = Array.from({ length: elementCount(shape) }, () => elementOf(datatype));
      return { model, tensor: { name: 'x', datatype, shape, data: pack(datatype, elements) } };
    });

  async function predictions(inputs: unknown[], selection: string) {
    const { submitPredictions } = await service.client.get<{
      submitPredictions: { state: string; error: unknown; prediction: Record<string, unknown> | null }[];
    }>(
      `mutation ($inputs: [PredictionInput!]!) { submitPredictions(inputs: $inputs, options: { waitMs: 30000 }) {
        state error { code message } prediction { ${selection} } } }`,
      { inputs },
    );
    return submitPredictions;
  }

  test('come back by the tensors API as they went in, as lists and as base64', async () => {
    for (let round = 0; round < 4; round += 1) {
      const sent = tensors((datatype) => finite(datatype, random));
      for (const way of ['list', 'base64']) {
        const inputs = sent.map(({ model, tensor }) => ({ tensors: { model, inputs: [asInput(tensor, way)] } }));
        const selection =
          '... on TensorsPrediction { outputs { datatype shape floats ints longs booleans strings base64 } }';
        const answers = await predictions(inputs, selection);
        for (const [i, { state, error, prediction }] of answers.entries()) {
          const { tensor } = sent[i] ?? {};
          expect({ state, error }).toEqual({ state: 'SUCCEEDED', error: null });
          expect(prediction?.['outputs']).toEqual([tensor && answered(tensor)]);
        }
      }
    }
  });

  test('come back by the typed API as they went in', async () => {
    for (let round = 0; round < 3; round += 1) {
      const sent = tensors((datatype) => finite(datatype, random)).map(({ model, tensor }) => {
        return { type: model.replace(/[-.]/g, '_'), value: nested(elementsOf(tensor), tensor.shape) };
      });
      // As many as an operation may have aliases: each model's y is of a type of its own.
      for (let start = 0; start < sent.length; start += 25) {
        const some = sent.slice(start, start + 25);
        // What a number can hold may be written as one.
        const inputs = some.map(({ type, value }) => ({
          [type]: { x: random.chance(0.5) ? value : asNumbers(value, type) },
        }));
        const selection = some.map(({ type }, i) => `... on ${capitalised(type)}Prediction { y${i}: y }`).join(' ');
        for (const [i, { error, prediction }] of (await predictions(inputs, selection)).entries()) {
          expect({ error, y: prediction?.[`y${i}`] }).toEqual({ error: null, y: some[i]?.value });
        }
      }
    }
  });

  test('with NaN or an infinity come back as base64 by the tensors API, and fail by the typed one', async () => {
    const some = [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
    const isFloat = (datatype: Datatype) => STORAGE[datatype].kind === 'float';
    const sent = tensors((datatype) =>
      isFloat(datatype) ? (random.some(1, some)[0] ?? 0) : finite(datatype, random),
    ).filter(({ tensor }) => isFloat(tensor.datatype) && elementCount(tensor.shape) > 0);
    const inputs = sent.map(({ model, tensor }) => ({ tensors: { model, inputs: [asInput(tensor, 'base64')] } }));
    const answers = await predictions(inputs, '... on TensorsPrediction { outputs { floats base64 } }');
    for (const [i, { prediction }] of answers.entries()) {
      expect(prediction?.['outputs']).toEqual([{ floats: null, base64: base64(sent[i]?.tensor) }]);
    }
    // A logarithm of what is negative, by the typed API.
    const [{ state, error } = {}] = await predictions([{ log: { x: [-1] } }], '__typename');
    expect({ state, error }).toMatchObject({ state: 'FAILED', error: { code: 'INVALID_OUTPUT' } });
  });
});

function finite(datatype: Datatype, random: Random): Element {
  const { kind, range, bytes } = STORAGE[datatype];
  if (kind === 'string') return random.some(1, TEXTS)[0] ?? '';
  if (kind === 'boolean') return random.integer(0, 1);
  if (range) return random.some(1, [range[0], range[1], 0n, BigInt(random.integer(0, 100))])[0] ?? 0n;
  const greatest = { 2: 65_504, 4: 3.402_823_466_385_288_6e38 }[bytes] ?? Number.MAX_VALUE;
  const least = { 2: 2 ** -24, 4: 2 ** -149 }[bytes] ?? Number.MIN_VALUE;
  return random.some(1, [greatest, -greatest, least, 0, random.fraction() - 0.5])[0] ?? 0;
}

function asInput(tensor: Tensor, way: string): object {
  const { name, datatype, shape, data } = tensor;
  const isList = way === 'list' || Array.isArray(data);
  return {
    name,
    datatype,
    shape,
    data: isList ? { [LIST[STORAGE[datatype].kind]]: elementsOf(tensor) } : { base64: base64(tensor) },
  };
}

function asNumbers(value: unknown, type: string): unknown {
  if (Array.isArray(value)) return value.map((one) => asNumbers(one, type));
  const isLong = /^(UINT32|U?INT64)/.test(type) && Number.isSafeInteger(Number(value));
  return isLong ? Number(value) : value;
}

/** As a client reads it. */
const asJson = <T>(value: T): unknown => JSON.parse(JSON.stringify(value));

function answered(tensor: Tensor): unknown {
  const none = { floats: null, ints: null, longs: null, booleans: null, strings: null };
  const list = LIST[STORAGE[tensor.datatype].kind];
  const { datatype, shape } = tensor;
  return { ...none, datatype, shape, [list]: asJson(elementsOf(tensor)), base64: base64(tensor) };
}

function base64(tensor: Tensor | undefined): string | null {
  return tensor && !Array.isArray(tensor.data) ? Buffer.from(tensor.data).toString('base64') : null;
}

function nested(elements: readonly unknown[], shape: readonly number[]): unknown {
  const [length = 0, ...inner] = shape;
  if (shape.length === 0) return asJson(elements[0]);
  const stride = elementCount(inner);
  return Array.from({ length }, (_, i) => nested(elements.slice(i * stride, (i + 1) * stride), inner));
}

function capitalised(name: string): string {
  return name.charAt(0).toUpperCase() + name.slice(1);
}
