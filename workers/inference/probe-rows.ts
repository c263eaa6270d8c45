import { type Datatype, elementCount, STORAGE, type Tensor, type TensorSpec } from '../../src/tensor.ts';
import { type Element, elementsOf, pack } from '../../src/tensor-values.ts';

/** One row of every input, as a run of the model takes it alone. */
export interface ProbeRow {
  /** For people: what is in it. */
  what: string;
  inputs: readonly Tensor[];
  /**
   * `ordinary`: what a model is made for. `neighbour`: chosen to betray a model that mixes rows. `extreme`: the same, so large that its own
   * values depend on the order of sums, and are not compared.
   */
  kind: 'ordinary' | 'neighbour' | 'extreme';
}

type Numbers = (random: () => number, base: number, largest: number, datatype: Datatype) => number;

interface Variation {
  what: string;
  kind: ProbeRow['kind'];
  /** Of a float; absent: floats as they are. */
  float?: Numbers;
  /** Of an integer; absent: one of the row's own. */
  integer?: Numbers;
  /** For rows whose integers are made up: a model that counts or looks up by them may refuse, or take for ever with, greater ones. */
  madeUpOnly?: boolean;
}

/** Between -1 and 1, those around 0 the likeliest. */
const noise = (random: () => number) => random() + random() - 1;
const LARGE = 1e4;
/** FP16 ends at 65,504. */
const large = (datatype: Datatype) => (datatype === 'FP16' ? 1e3 : LARGE);

/** In the order of their worth: the first of each kind are tried with slow models, too. */
const VARIATIONS: readonly Variation[] = [
  { what: 'another row', kind: 'ordinary', float: (random, base, largest) => base + largest * noise(random) },
  {
    what: 'values of another size',
    kind: 'ordinary',
    float: (random, base, largest) => 2 * largest * noise(random) - base / 2,
  },
  {
    what: 'very large values',
    kind: 'neighbour',
    float: (random, _base, _largest, datatype) => large(datatype) * noise(random),
  },
  { what: 'NaN', kind: 'neighbour', float: () => Number.NaN },
  { what: 'zeros', kind: 'neighbour', float: () => 0, integer: () => 0 },
  { what: 'values from 0 to 1', kind: 'ordinary', float: (random) => random() },
  {
    what: 'values near the end of the datatype',
    kind: 'extreme',
    float: (random, _base, _largest, datatype) => (datatype === 'FP16' ? 6e4 : 1e30) * Math.sign(noise(random) || 1),
  },
  { what: 'very small values', kind: 'neighbour', float: (random, base) => 1e-4 * base + 1e-6 * noise(random) },
  { what: 'one NaN', kind: 'neighbour', float: (random, base) => (random() < 0.2 ? Number.NaN : base) },
  { what: 'integers to 9', kind: 'ordinary', integer: (random) => Math.floor(10 * random()), madeUpOnly: true },
  { what: 'integers to 31', kind: 'ordinary', integer: (random) => Math.floor(32 * random()), madeUpOnly: true },
  { what: 'integers to 1,000', kind: 'neighbour', integer: (random) => Math.floor(1_001 * random()), madeUpOnly: true },
  { what: 'negative integers', kind: 'neighbour', integer: () => -1, madeUpOnly: true },
];

/** What words a made-up text is of. */
const WORDS = ['a', 'free', 'the quick brown fox', 'no', '1', 'Große', 'yes', '0.5', 'win money now', ''];

export interface RowsOptions {
  random: () => number;
  /** Whether `base` was made up here. */
  isMadeUp: boolean;
}

/** A row, and others of the same shape that are made from it. */
export function* rowsFrom(
  what: string,
  base: readonly Tensor[],
  { random, isMadeUp }: RowsOptions,
): Generator<ProbeRow> {
  yield { what, inputs: base, kind: 'ordinary' };
  const hasFloats = base.some(({ datatype }) => STORAGE[datatype].kind === 'float');
  const hasIntegers = base.some(({ datatype }) => STORAGE[datatype].range !== undefined);
  const hasOthers = base.some(({ datatype }) => datatype === 'STRING' || datatype === 'BOOL');
  for (const variation of VARIATIONS) {
    if (variation.madeUpOnly && !isMadeUp) continue;
    const changes =
      variation.kind === 'ordinary' && !variation.madeUpOnly
        ? true
        : (variation.float && hasFloats) || (variation.integer && hasIntegers);
    if (!changes && !(hasOthers && variation.what === 'zeros')) continue;
    const inputs = base.map((tensor) => ({ ...tensor, data: varied(tensor, variation, random) }));
    yield { what: variation.what, inputs, kind: variation.kind };
  }
}

function varied(tensor: Tensor, { what, float, integer }: Variation, random: () => number): Tensor['data'] {
  const { datatype, data } = tensor;
  const one = <T>(of: readonly T[]): T | undefined => of[Math.floor(of.length * random())];
  if (Array.isArray(data))
    return data.map((text) => (what === 'zeros' ? '' : shuffledWords(one(data) ?? text, random)));
  const elements = elementsOf(tensor);
  if (datatype === 'BOOL')
    return pack(
      datatype,
      elements.map(() => (what !== 'zeros' && random() < 0.5 ? 1 : 0)),
    );
  if (STORAGE[datatype].range) {
    if (!integer)
      return pack(
        datatype,
        elements.map(() => asElement(one(elements))),
      );
    return pack(
      datatype,
      elements.map(() => inRange(datatype, integer(random, 0, 0, datatype))),
    );
  }
  if (!float) return data;
  const numbers = elements.map(Number);
  const largest = numbers.reduce((most, x) => (Number.isFinite(x) ? Math.max(most, Math.abs(x)) : most), 0) || 1;
  return pack(
    datatype,
    numbers.map((x) => float(random, x, largest, datatype)),
  );
}

/** Some of a text's words, or of its letters where it is one word, in another order. */
function shuffledWords(text: string, random: () => number): string {
  const separator = text.includes(' ') ? ' ' : '';
  const parts = separator === '' ? [text] : text.split(separator);
  const kept = parts.filter(() => random() < 0.7);
  return (kept.length > 0 ? kept : parts).reverse().join(separator);
}

function asElement(value: number | boolean | string | undefined): Element {
  return typeof value === 'string' ? BigInt(value) : Number(value ?? 0);
}

function inRange(datatype: Datatype, value: number): number {
  const [least, greatest] = STORAGE[datatype].range ?? [0n, 0n];
  return Math.min(Number(greatest), Math.max(Number(least), value));
}

/** An input of a model whose dimension 0 is one row. */
export type RowSpec = TensorSpec & { shape: (number | null)[] };

/** A row of ordinary values, with `length` in place of each dimension that may vary. */
export function madeUpRow(inputs: readonly RowSpec[], length: number, random: () => number): Tensor[] {
  return inputs.map(({ name, datatype, shape }) => {
    const sizes = [1, ...shape.slice(1).map((size) => size ?? length)];
    const count = elementCount(sizes);
    return { name, datatype, shape: sizes, data: madeUp(datatype, count, random) };
  });
}

function madeUp(datatype: Datatype, count: number, random: () => number): Tensor['data'] {
  const next = () => {
    if (datatype === 'STRING') return WORDS[Math.floor(WORDS.length * random())] ?? '';
    if (STORAGE[datatype].kind === 'float') return 2 * noise(random);
    // Of bytes, most are pictures; of other integers, most are looked up.
    return Math.floor(random() * (datatype === 'UINT8' ? 256 : datatype === 'BOOL' ? 2 : 3));
  };
  return pack(datatype, Array.from({ length: count }, next));
}

/** Bytes of a row of inputs, where each dimension that may vary has this length. */
export function rowBytes(inputs: readonly RowSpec[], length: number): number {
  return inputs.reduce((sum, { datatype, shape }) => {
    return sum + elementCount(shape.slice(1).map((size) => size ?? length)) * (STORAGE[datatype].bytes || 16);
  }, 0);
}
