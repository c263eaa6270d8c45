import { z } from 'zod';
import { submissionFields, submissionOf } from '../task/submission.ts';
import type { Submission } from '../task/task.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { encodeFrame, frameReader } from '../tensor/tensor-frame.ts';

/** Inputs that are too large for the broker are kept in the store, as a frame of so many bytes. */
export interface InputsReference {
  bytes: number;
}

/**
 * All that a worker needs to run a task, so that a store that lost its record still ends with the task completed; large inputs
 * are the exception.
 */
export interface PredictionMessage {
  submission: Submission;
  inputs: readonly Tensor[] | InputsReference;
}

export function isReference(inputs: PredictionMessage['inputs']): inputs is InputsReference {
  return 'bytes' in inputs;
}

/** The body of a message in a prediction queue. */
export function encodeMessage({ submission, inputs }: PredictionMessage): Buffer {
  // An object that has more than its type says would otherwise leak onto the wire.
  const header = submissionOf(submission);
  if (!isReference(inputs)) return encodeFrame(header, inputs);
  return encodeFrame({ ...header, inputs: { bytes: inputs.bytes } }, []);
}

const readFrame = frameReader(
  z.object({ ...submissionFields, inputs: z.object({ bytes: z.int().nonnegative() }).optional() }),
);

/** Reads a body; the inputs are views of it. Throws a plain `Error` where it is no prediction message. */
export function decodeMessage(body: Uint8Array): PredictionMessage {
  try {
    const { header, tensors } = readFrame(body);
    return { submission: submissionOf(header), inputs: header.inputs ?? tensors };
  } catch (cause) {
    throw new Error(`expected a prediction message, got ${body.byteLength} other bytes`, { cause });
  }
}
