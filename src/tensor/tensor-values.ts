import { bytesOf, type Datatype, STORAGE, type Tensor, viewAs } from './tensor.ts';

/** One element as a typed array (or a STRING tensor) holds it. */
export type Element = number | bigint | string;

interface ElementReader {
  /** The element, or `undefined` where the value does not fit. */
  read: (value: unknown) => Element | undefined;
  /** What the datatype takes, for the error. */
  expected: string;
}

const ROUND = { FP16: Math.f16round, FP32: Math.fround, FP64: (value: number) => value };

/** How JavaScript values become elements of a datatype. Nothing is clamped, wrapped, or rounded to infinity. */
export function elementReader(datatype: Datatype): ElementReader {
  switch (datatype) {
    case 'STRING':
      // onnxruntime-node cuts a string at its first NUL, UTF-8 replaces half a surrogate pair: the model would answer for another text.
      return {
        read: (value) =>
          typeof value === 'string' && !value.includes('\0') && value.isWellFormed() ? value : undefined,
        expected: 'well-formed text without U+0000',
      };
    case 'BOOL':
      return { read: (value) => (typeof value === 'boolean' ? Number(value) : undefined), expected: 'true or false' };
    case 'FP16':
    case 'FP32':
    case 'FP64': {
      const round = ROUND[datatype];
      return {
        read: (value) => (typeof value === 'number' && Number.isFinite(round(value)) ? value : undefined),
        expected: `a finite number that ${datatype} can hold`,
      };
    }
    default:
      return integerReader(datatype);
  }
}

function integerReader(datatype: Datatype): ElementReader {
  const { kind, bytes, range = [0n, 0n] } = STORAGE[datatype];
  const [least, greatest] = range;
  const written = kind === 'long' ? ', as a decimal string' : '';
  return {
    read: (value) => {
      const integer = toBigInt(value);
      if (integer === undefined || integer < least || integer > greatest) return undefined;
      return bytes === 8 ? integer : Number(integer);
    },
    expected: `an integer from ${least} to ${greatest}${written}`,
  };
}

/** An integer as a number or as decimal digits; `undefined` for what is none, or has lost some. */
export function toBigInt(value: unknown): bigint | undefined {
  if (typeof value === 'number') return Number.isSafeInteger(value) ? BigInt(value) : undefined;
  // Twenty digits hold any 64-bit integer; a longer string would only be work.
  return typeof value === 'string' && /^-?\d{1,20}$/.test(value) ? BigInt(value) : undefined;
}

/** Elements that a reader of this datatype gave, as a tensor's data. */
export function pack(datatype: Datatype, elements: readonly Element[]): Tensor['data'] {
  switch (datatype) {
    case 'STRING':
      return elements.map(String);
    case 'INT64':
      return bytesOf(BigInt64Array.from(elements, BigInt));
    case 'UINT64':
      return bytesOf(BigUint64Array.from(elements, BigInt));
    default: {
      const { bytes } = STORAGE[datatype];
      const array = viewAs(datatype, new Uint8Array(elements.length * bytes));
      for (const [i, element] of elements.entries()) array[i] = Number(element);
      return bytesOf(array);
    }
  }
}

/** A tensor's elements as the API writes them: numbers, booleans, strings, and decimal strings for what no Int can hold. */
export function elementsOf(tensor: Tensor): (number | boolean | string)[] {
  const { datatype, data } = tensor;
  if (datatype === 'STRING' || Array.isArray(data)) return Array.isArray(data) ? data : [];
  const numbers: ArrayLike<number | bigint> = viewAs(datatype, data);
  switch (STORAGE[datatype].kind) {
    case 'boolean':
      return Array.from(numbers, (value) => value !== 0);
    case 'long':
      return Array.from(numbers, String);
    default:
      return Array.from(numbers, Number);
  }
}
