import { createHash } from 'node:crypto';
import type { Tensor } from '../../tensor/tensor.ts';
import { encodeFrame } from '../../tensor/tensor-frame.ts';

/** Keeps these hashes apart from any other that is ever made of an owner and a text. */
const DOMAIN = 'foretell.v1 task of an idempotency key';

/**
 * The id of the task that an owner's key stands for, the same in every process: a UUID of version 8, made from SHA-256.
 * Whoever can work it out knows owner and key, and with them gets the very task by submitting the key again, so it
 * gives away no more than the key does; a key that is guessed easily is its owner's choice, and with API keys a
 * task is its owner's even so. Without them everybody is one owner anyway.
 */
export function keyedTaskId(owner: string, idempotencyKey: string): string {
  // As JSON, since of owners and keys that were only joined two pairs could make one text.
  const text = JSON.stringify([DOMAIN, owner, idempotencyKey]);
  const bytes = createHash('sha256').update(text).digest().subarray(0, 16);
  bytes.writeUInt8((bytes.readUInt8(6) & 0x0f) | 0x80, 6);
  bytes.writeUInt8((bytes.readUInt8(8) & 0x3f) | 0x80, 8);
  return bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}

const TASK_ID_LENGTH = 36;
const TASK_ID = /^[\da-f]{8}-[\da-f]{4}-[\da-f]{4}-[\da-f]{4}-[\da-f]{12}$/;

/** Whether a text can be the id of a task: a UUID in lower case. Any other text is refused before the store is asked, however long it is. */
export function isTaskId(text: string): boolean {
  return text.length === TASK_ID_LENGTH && TASK_ID.test(text);
}

/** The same for the same input, and for no other. */
export function contentOf(inputs: readonly Tensor[]): string {
  return createHash('sha256').update(encodeFrame(null, inputs)).digest('base64url');
}
