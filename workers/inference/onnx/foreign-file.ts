import { closeSync, openSync, readSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fieldsOf, GRAPH, readModel } from './onnx-fields.ts';
import { externalFiles, requireWeightsBelow } from './onnx-weights.ts';

const HEAD_BYTES = 512;

/** What else lies under the name of a model, by how it begins, and what to do about it. */
const FOREIGN: readonly { is: (head: Buffer) => boolean; called: string }[] = [
  { is: (head) => head.length === 0, called: 'an empty file' },
  {
    is: (head) => startsWith(head, 'version https://git-lfs.github.com/'),
    called: 'a Git LFS pointer, which stands for the file: `git lfs pull` fetches it',
  },
  {
    is: (head) => /^\s*<(!doctype|html|head|body|\?xml)/i.test(head.toString('latin1').replace(/^\xef\xbb\xbf/, '')),
    called: 'an HTML or XML page: the download returned a page, perhaps a login page, instead of the file',
  },
  {
    is: (head) => startsWith(head, 'ORTM', 4),
    called: "an .ort file, ONNX Runtime's own format: serve the ONNX file that it was made from",
  },
  {
    is: (head) => startsWith(head, 'TFL3', 4),
    called: 'a TensorFlow Lite file: tf2onnx converts it (python -m tf2onnx.convert --tflite FILE)',
  },
  {
    is: (head) => startsWith(head, 'PK\x03\x04'),
    called: 'a zip archive, as PyTorch saves: export the model to ONNX (torch.onnx.export)',
  },
  { is: (head) => startsWith(head, '\x1f\x8b'), called: 'a file compressed by gzip: unpack it' },
  { is: (head) => startsWith(head, '\x28\xb5\x2f\xfd'), called: 'a file compressed by zstd: unpack it' },
  {
    is: (head) => startsWith(head, '\xfd7zXZ\x00') || startsWith(head, '7z\xbc\xaf') || startsWith(head, 'BZh'),
    called: 'a compressed file: unpack it',
  },
  { is: (head) => startsWith(head, 'ustar', 257), called: 'a tar archive: unpack it' },
  {
    is: (head) => head[7] === 0 && head[8] === 0x7b,
    called: 'a safetensors file, which holds weights without a model: export the model to ONNX',
  },
  {
    is: (head) => head[0] === 0x80 && (head[1] ?? 9) <= 5,
    called: 'a Python pickle: export the model to ONNX (torch.onnx.export, skl2onnx)',
  },
  { is: (head) => startsWith(head, '\x89HDF'), called: 'an HDF5 file, as Keras saves: tf2onnx converts the model' },
  { is: (head) => startsWith(head, 'GGUF'), called: 'a GGUF file: export the model to ONNX' },
  { is: (head) => startsWith(head, '\x93NUMPY'), called: 'a NumPy array' },
  {
    is: (head) => head.every((octet) => octet === 0),
    called: 'a file of zeros: its content was never written',
  },
  { is: isText, called: 'a text file' },
];

/**
 * Throws where a file is no ONNX model, or where it or one of the files of its weights is another kind of file or was cut off: it says what they are.
 * What is wrong with a model inside is for ONNX Runtime to say.
 */
export function requireOnnx(file: string): void {
  const called = kindOf(file);
  if (called !== undefined) throw new Error(`expected an ONNX model, got ${called}`);
  const fault = readModel(file, (read, model, size) => {
    const fields = fieldsOf(read, model, ...TOP_LEVEL);
    const end = Math.max(...fields.map((field) => field.end), 0);
    if (end > size)
      return `expected ${end} bytes, got ${size}: the file is incomplete, perhaps because a download did not finish`;
    if (fields.some(({ number }) => number === GRAPH)) return undefined;
    return 'expected an ONNX model, got protocol buffers without an ONNX graph, such as a file of TensorFlow (tf2onnx converts it) or Core ML';
  });
  if (fault !== undefined) throw new Error(fault);
  const weights = externalFiles(file);
  requireWeightsBelow(weights);
  for (const path of weights) {
    // Where there is none, ONNX Runtime says which is missing. Weights may be text or zeros.
    const pointer = kindOf(join(dirname(file), path), FOREIGN.slice(1, 3));
    if (pointer !== undefined) throw new Error(`its weights in "${path}" are ${pointer}`);
  }
}

const TOP_LEVEL = Array.from({ length: 32 }, (_, i) => i + 1);

function kindOf(file: string, kinds = FOREIGN): string | undefined {
  const head = headOf(file);
  return head && kinds.find(({ is }) => is(head))?.called;
}

/** `undefined` for what cannot be read: whoever reads all of it says why. */
function headOf(file: string): Buffer | undefined {
  let descriptor: number | undefined;
  try {
    descriptor = openSync(file, 'r');
    const head = Buffer.alloc(HEAD_BYTES);
    return head.subarray(0, readSync(descriptor, head, 0, HEAD_BYTES, 0));
  } catch {
    return undefined;
  } finally {
    if (descriptor !== undefined) closeSync(descriptor);
  }
}

function startsWith(head: Buffer, text: string, at = 0): boolean {
  return head.subarray(at, at + text.length).equals(Buffer.from(text, 'latin1'));
}

/** No ONNX file is without bytes that text does not have: its first field is a number. */
function isText(head: Buffer): boolean {
  return head.every((octet) => octet >= 32 || octet === 9 || octet === 10 || octet === 13);
}
