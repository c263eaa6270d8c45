import type { Submission } from '../../src/task/task.ts';
import type { Tensor } from '../../src/tensor/tensor.ts';

/** Every key that a submission may have. */
export const SUBMISSION: Submission = {
  id: '6a2f41a3-c54c-4b0e-9a3b-0d9f6f1d2c11',
  owner: 'anonymous',
  model: { name: 'iris', version: '1', fingerprint: 'f00d' },
  door: 'typed',
  submittedAt: 1_700_000_000_000,
  expiresAt: 1_700_000_060_000,
  content: 'c0ffee',
  traceparent: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',
};

export const SUBMISSION_JSON =
  '{"id":"6a2f41a3-c54c-4b0e-9a3b-0d9f6f1d2c11","owner":"anonymous","model":{"name":"iris","version":"1","fingerprint":"f00d"},' +
  '"door":"typed","submittedAt":1700000000000,"expiresAt":1700000060000,"content":"c0ffee",' +
  '"traceparent":"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}';

export const INPUTS: Tensor[] = [
  { name: 'features', datatype: 'FP32', shape: [1, 2], data: Buffer.from([0, 0, 128, 63, 0, 0, 0, 64]) },
  { name: 'label', datatype: 'STRING', shape: [1], data: ['ä'] },
];

/** A JSON object with one more key at its end. */
export function withKey(json: string, member: string): string {
  return `${json.slice(0, -1)},${member}}`;
}

/** The beginning of a frame, in hexadecimal: the length of its JSON, little endian, and the JSON. */
export function hexOf(json: string): string {
  const text = Buffer.from(json);
  const length = Buffer.from([text.length & 255, text.length >> 8, 0, 0]);
  return Buffer.concat([length, text]).toString('hex');
}
