import type { Runtime } from '../session.ts';
import { requireOnnx } from './foreign-file.ts';
import { readableFault } from './onnx-fault.ts';
import { openOnnxSession, startOnnxRuntime } from './onnx-session.ts';
import { sizeOf } from './onnx-weights.ts';

/** Models that are ONNX files. */
export const onnxRuntime: Runtime = {
  start: startOnnxRuntime,
  leastBytes: sizeOf,
  async open({ file, executionProviders }, note) {
    requireOnnx(file);
    return openOnnxSession(file, executionProviders, ({ found, missing }) => {
      note('execution provider is not available, the next is used', { file, missing, used: found[0]?.name });
    });
  },
  readable: readableFault,
};
