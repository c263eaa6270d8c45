import {
  bytesOf,
  type Datatype,
  elementCount,
  STORAGE,
  type Tensor,
  type TensorSpec,
  viewAs,
} from '../../src/tensor/tensor.ts';
import { pack } from '../../src/tensor/tensor-values.ts';

/** One row of every input, as a run of the model takes it alone. */
export interface ProbeRow {
  /** For people: what is in it. */
  what: string;
  inputs: readonly Tensor[];
  /**
   * Whether a model is made for such a row, so that its values beside others are compared. All others are chosen to betray a model that mixes
   * rows; their own values may hang on the order of sums, or on which of many equal ones comes first.
   */
  isOrdinary: boolean;
}

type Float = (random: () => number, base: number, largest: number, datatype: Datatype) => number;

interface Variation {
  what: string;
  isOrdinary: boolean;
  /** Of a float; absent: floats as they are. */
  float?: Float;
  /** Of an integer, or a boolean as 0 or 1; absent: one of the row's own. */
  integer?: (random: () => number) => number;
  /** For rows that are made up: a model that counts or looks up by what it gets may refuse, or take for ever with, greater values. */
  madeUpOnly?: boolean;
}

/** Between -1 and 1, those around 0 the likeliest. */
const noise = (random: () => number) => random() + random() - 1;

/** From 0.1 to 3,000: what a tree tells apart by. */
const manySizes = (random: () => number) => 10 ** (4.5 * random() - 1);

/** FP16 ends at 65,504. */
const large = (datatype: Datatype) => (datatype === 'FP16' ? 1e3 : 1e4);
const huge = (datatype: Datatype) => (datatype === 'FP16' ? 6e4 : 1e30);

/** In the order of their worth: slow models are tried with the first ones alone. */
const VARIATIONS: readonly Variation[] = [
  { what: 'another row', isOrdinary: true, float: (random, base, largest) => base + largest * noise(random) },
  {
    what: 'very large values',
    isOrdinary: false,
    float: (random, _base, _largest, datatype) => large(datatype) * noise(random),
  },
  { what: 'NaN', isOrdinary: false, float: () => Number.NaN },
  {
    what: 'values of another size',
    isOrdinary: true,
    float: (random, base, largest) => 2 * largest * noise(random) - base / 2,
  },
  { what: 'zeros', isOrdinary: false, float: () => 0, integer: () => 0 },
  {
    what: 'infinities',
    isOrdinary: false,
    float: (random, base) => (random() < 0.5 ? base : Number.POSITIVE_INFINITY * (random() - 0.5)),
  },
  {
    what: 'integers from -1,000',
    isOrdinary: false,
    integer: (random) => Math.floor(2_001 * random()) - 1_000,
    madeUpOnly: true,
  },
  { what: 'values from 0 to 1', isOrdinary: true, float: (random) => random() },
  ...['values of many sizes', 'others of many sizes'].map((what) => ({
    what,
    isOrdinary: true,
    float: manySizes,
    madeUpOnly: true,
  })),
  { what: 'ones', isOrdinary: false, float: () => 1, integer: () => 1 },
  {
    what: 'values near the end of the datatype',
    isOrdinary: false,
    float: (random, _base, _largest, datatype) => huge(datatype) * (noise(random) < 0 ? -1 : 1),
  },
  { what: 'very small values', isOrdinary: false, float: (random, base) => 1e-4 * base + 1e-6 * noise(random) },
  { what: 'one NaN', isOrdinary: false, float: (random, base) => (random() < 0.2 ? Number.NaN : base) },
  { what: 'integers to 9', isOrdinary: true, integer: (random) => Math.floor(10 * random()), madeUpOnly: true },
  { what: 'integers to 31', isOrdinary: true, integer: (random) => Math.floor(32 * random()), madeUpOnly: true },
  { what: 'integers to 1,000', isOrdinary: false, integer: (random) => Math.floor(1_001 * random()), madeUpOnly: true },
  { what: 'negative integers', isOrdinary: false, integer: () => -1, madeUpOnly: true },
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
  yield { what, inputs: base, isOrdinary: true };
  const kinds = new Set(base.map(({ datatype }) => STORAGE[datatype].kind));
  for (const variation of VARIATIONS) {
    if (!(variation.madeUpOnly ? isMadeUp && isMeantFor(variation, kinds) : changes(variation, kinds))) continue;
    const inputs = base.map((tensor) => ({ ...tensor, data: varied(tensor, variation, random) }));
    yield { what: variation.what, inputs, isOrdinary: variation.isOrdinary };
  }
}

type Kinds = ReadonlySet<(typeof STORAGE)[Datatype]['kind']>;

function hasIntegers(kinds: Kinds): boolean {
  return kinds.has('int') || kinds.has('long');
}

/** Whether a row has what a variation was thought out for. */
function isMeantFor({ integer }: Variation, kinds: Kinds): boolean {
  return integer ? hasIntegers(kinds) : kinds.has('float');
}

/** Whether a variation of a row is another row. */
function changes({ isOrdinary, float, integer }: Variation, kinds: Kinds): boolean {
  if (isOrdinary || (float && kinds.has('float'))) return true;
  return integer !== undefined && (hasIntegers(kinds) || kinds.has('string') || kinds.has('boolean'));
}

function varied(tensor: Tensor, { what, float, integer }: Variation, random: () => number): Tensor['data'] {
  const { datatype, data } = tensor;
  const pick = <T>(of: ArrayLike<T>): T | undefined => of[Math.floor(of.length * random())];
  if (datatype === 'STRING' || Array.isArray(data)) {
    if (!Array.isArray(data)) return data;
    return data.map((text) => (what === 'zeros' ? '' : shuffledWords(pick(data) ?? text, random)));
  }
  const before = viewAs(datatype, data);
  if (before instanceof BigInt64Array || before instanceof BigUint64Array) {
    return filled(datatype, data.byteLength, () =>
      integer ? BigInt(inRange(datatype, integer(random))) : (pick(before) ?? 0n),
    );
  }
  if (STORAGE[datatype].kind === 'float') {
    if (!float) return data;
    const largest = largestOf(before);
    return filled(datatype, data.byteLength, (i) => float(random, before[i] ?? 0, largest, datatype));
  }
  const own = () => (datatype === 'BOOL' ? Math.round(random()) : (pick(before) ?? 0));
  return filled(datatype, data.byteLength, () => (integer ? inRange(datatype, integer(random)) : own()));
}

function filled(
  datatype: Exclude<Datatype, 'STRING'>,
  bytes: number,
  next: (i: number) => number | bigint,
): Uint8Array {
  const array = viewAs(datatype, new Uint8Array(bytes));
  for (let i = 0; i < array.length; i += 1) array[i] = next(i);
  return bytesOf(array);
}

/** The largest finite absolute value; 1 where there is none. */
function largestOf(numbers: ArrayLike<number>): number {
  let largest = 0;
  for (let i = 0; i < numbers.length; i += 1) {
    const size = Math.abs(numbers[i] ?? 0);
    if (size > largest && Number.isFinite(size)) largest = size;
  }
  return largest || 1;
}

/** Some of a text's words, or of its letters where it is one word, in another order. */
function shuffledWords(text: string, random: () => number): string {
  const separator = text.includes(' ') ? ' ' : '';
  const parts = separator === '' ? [text] : text.split(separator);
  const kept = parts.filter(() => random() < 0.7);
  return (kept.length > 0 ? kept : parts).reverse().join(separator);
}

function inRange(datatype: Datatype, value: number): number {
  // A boolean is 0 or 1.
  const [least, greatest] = STORAGE[datatype].range ?? [0n, 1n];
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
