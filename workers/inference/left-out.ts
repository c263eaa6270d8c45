/** An output that is not served: ONNX Runtime hands tensors alone to JavaScript. */
export interface LeftOut {
  name: string;
  /** `sequence of maps`, for example. */
  kind: string;
}

/** What is left out and why, and what to do about it where that is known. */
export function leftOutText({ name, kind }: LeftOut): string {
  return `output "${name}" is left out: it is ${/^[aeiou]/.test(kind) ? 'an' : 'a'} ${kind}, and only tensors can be read${wayOut(kind)}`;
}

/** What skl2onnx makes of a classifier's probabilities, and onnxmltools after it, unless they are told otherwise. */
function wayOut(kind: string): string {
  return kind === 'sequence of maps' ? "; skl2onnx gives a tensor instead with options={'zipmap': False}" : '';
}
