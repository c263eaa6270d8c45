import { z } from 'zod';
import { DATATYPES, elementCount, STORAGE, type Tensor } from './tensor.ts';

/**
 * A frame is a JSON header and the tensors' bytes behind it: what a prediction message and a stored result are made of.
 * Bytes stay bytes (base64 in JSON costs a third more to carry, and far more to parse) and are read without a copy.
 *
 *     4 bytes  length of the JSON, little endian
 *     JSON     { header, tensors: [{ name, datatype, shape, strings? }] }
 *     bytes    of each tensor that is not STRING, in order
 */
export function encodeFrame(header: unknown, tensors: readonly Tensor[]): Buffer {
  const parts: Uint8Array[] = [];
  const described = tensors.map(({ name, datatype, shape, data }) => {
    if (Array.isArray(data)) return { name, datatype, shape, strings: data };
    parts.push(data);
    return { name, datatype, shape };
  });
  const json = Buffer.from(JSON.stringify({ header, tensors: described }));
  const length = Buffer.allocUnsafe(4);
  length.writeUInt32LE(json.length);
  return Buffer.concat([length, json, ...parts]);
}

/** Keys that another release adds are passed over. */
const tensorsSchema = z.array(
  z.object({
    name: z.string(),
    datatype: z.enum(DATATYPES),
    shape: z.array(z.int().nonnegative()),
    strings: z.array(z.string()).optional(),
  }),
);

/** A reader of frames with such headers; what it gives are views of the bytes. It throws a plain `Error` where the bytes are no such frame. */
export function frameReader<Header>(headerSchema: z.ZodType<Header>) {
  const schema = z.object({ header: headerSchema, tensors: tensorsSchema });
  return (frame: Uint8Array): { header: Header; tensors: Tensor[] } => {
    const bytes = Buffer.from(frame.buffer, frame.byteOffset, frame.byteLength);
    const start = 4 + bytes.readUInt32LE(0);
    const { header, tensors } = schema.parse(JSON.parse(bytes.toString('utf8', 4, start)));
    return { header, tensors: withBytes(tensors, bytes, start) };
  };
}

function withBytes(described: z.infer<typeof tensorsSchema>, bytes: Buffer, start: number): Tensor[] {
  let offset = start;
  const tensors = described.map(({ name, datatype, shape, strings }): Tensor => {
    const count = elementCount(shape);
    const length = count * STORAGE[datatype].bytes;
    const data = strings ?? bytes.subarray(offset, offset + length);
    if ((strings !== undefined) !== (datatype === 'STRING') || data.length !== (strings ? count : length)) {
      throw new Error(`tensor "${name}": ${data.length} elements or bytes do not make ${datatype} [${shape}]`);
    }
    offset += length;
    return { name, datatype, shape, data };
  });
  if (offset !== bytes.length) throw new Error(`frame: ${bytes.length - offset} bytes more than its tensors take`);
  return tensors;
}
