import { bytesOf, type Datatype, STORAGE, type Tensor } from '../../src/tensor/tensor.ts';

/** ONNX's numbers for the datatypes (onnx.proto, TensorProto.DataType). */
const DATATYPES: Record<number, Datatype> = {
  1: 'FP32',
  2: 'UINT8',
  3: 'INT8',
  4: 'UINT16',
  5: 'INT16',
  6: 'INT32',
  7: 'INT64',
  8: 'STRING',
  9: 'BOOL',
  10: 'FP16',
  11: 'FP64',
  12: 'UINT32',
  13: 'UINT64',
};

/** Which field of a TensorProto has the elements, where they are not raw bytes; 5 holds the bits of all that is narrower. */
const FLOATS = 4;
const INT32S = 5;
const STRINGS = 6;
const INT64S = 7;
const RAW = 9;
const DOUBLES = 10;
const UINT64S = 11;

interface Field {
  number: number;
  varint: bigint;
  bytes: Buffer;
  wire: number;
}

/**
 * Reads a TensorProto, as ONNX's test data keeps inputs and outputs. Throws where the file holds another message (a sequence, an
 * optional) or a datatype that is none of Foretell's.
 */
export function readTensorProto(file: Buffer, name: string): Tensor {
  const fields = [...fieldsOf(file)];
  const numbersIn = (number: number) => fields.filter((field) => field.number === number).flatMap(varintsOf);
  const bytesIn = (number: number) => fields.filter((field) => field.number === number).map(({ bytes }) => bytes);
  const [code] = numbersIn(2);
  const datatype = DATATYPES[Number(code)];
  if (!datatype) throw new Error(code === undefined ? 'no tensor' : `ONNX's datatype ${code}`);
  const tensor = { name, datatype, shape: numbersIn(1).map(Number) };
  if (datatype === 'STRING') return { ...tensor, data: bytesIn(STRINGS).map(String) };
  const [raw] = bytesIn(RAW);
  if (raw) return { ...tensor, data: raw };
  const width = STORAGE[datatype].bytes;
  const packed = Buffer.concat(bytesIn(datatype === 'FP64' ? DOUBLES : FLOATS));
  if (datatype === 'FP32' || datatype === 'FP64') return { ...tensor, data: packed };
  const elements = [INT32S, INT64S, UINT64S].flatMap(numbersIn);
  const bits = elements.map((element) => BigInt.asUintN(8 * width, element));
  const data = Buffer.concat(bits.map((element) => bytesOf(BigUint64Array.of(element)).subarray(0, width)));
  return { ...tensor, data };
}

function varintsOf({ wire, varint, bytes }: Field): bigint[] {
  if (wire === 0) return [varint];
  const numbers: bigint[] = [];
  for (let at = 0; at < bytes.length; ) {
    const [number, end] = varintAt(bytes, at);
    numbers.push(number);
    at = end;
  }
  return numbers;
}

function* fieldsOf(message: Buffer): Generator<Field> {
  for (let at = 0; at < message.length; ) {
    const [tag, start] = varintAt(message, at);
    const [number, wire] = [Number(tag >> 3n), Number(tag & 7n)];
    if (wire === 0) {
      const [varint, end] = varintAt(message, start);
      yield { number, wire, varint, bytes: Buffer.alloc(0) };
      at = end;
    } else {
      const [length, begin] = wire === 2 ? varintAt(message, start) : [wire === 1 ? 8n : 4n, start];
      at = begin + Number(length);
      if (at > message.length) throw new Error('no tensor');
      yield { number, wire, varint: 0n, bytes: message.subarray(begin, at) };
    }
  }
}

function varintAt(bytes: Buffer, start: number): [bigint, number] {
  let value = 0n;
  for (let i = start; i < bytes.length; i += 1) {
    const octet = bytes.readUInt8(i);
    value |= BigInt(octet & 127) << BigInt(7 * (i - start));
    if (octet < 128) return [value, i + 1];
  }
  throw new Error('no tensor');
}
