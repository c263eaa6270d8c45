import { join } from 'node:path';
import { oneLine } from '../../src/process/printable.ts';
import { RunError } from '../inference/run-error.ts';

/** Something in the directory of models that cannot be served: where, and what is wrong there, in one line. */
export class ModelFault extends Error {
  /** The model, where it is one's. */
  readonly model: string | undefined;
  /** The version, where it is not all of the model's. */
  readonly version: string | undefined;
  /** Whether the same files may be served later: what went wrong was none of theirs. */
  readonly retryable: boolean;

  constructor(of: { name?: string; version?: string }, path: string, fault: string, retryable = false) {
    super(oneLine(`${path}: ${fault.replace(/\s*\n\s*/g, ' ')}`));
    this.model = of.name;
    this.version = of.version;
    this.retryable = retryable;
  }
}

/** What ONNX Runtime and Node say where memory is short, and the system where files or descriptors are. */
const SHORTAGE = /bad_alloc|allocat|out of memory|\bE(NOMEM|MFILE|NFILE|NOSPC|IO|AGAIN)\b/i;

/** Whether what went wrong may be none of the files' fault. */
export function mayPass(error: unknown): boolean {
  // A process that died may have been killed, or have died of another model's memory.
  if (error instanceof RunError) return error.code !== 'MODEL_ERROR' || SHORTAGE.test(error.message);
  // Of the system: a full disk, a network drive that is away.
  return error instanceof Error && 'code' in error && typeof error.code === 'string';
}

/** What Node says of a call that the system refused: a code, a sentence, the call, and one or two paths. */
const SYSTEM_CALL = /\b(E[A-Z0-9]+: [^,']+, \w+)((?:(?: ->)? '[^']*')+)/g;

/** What a fault says to clients: paths begin at the directory of models, and others are left out. */
export function publicFault({ message }: ModelFault, modelsDir: string): string {
  return message
    .replaceAll(join(modelsDir, '/'), '')
    .replace(SYSTEM_CALL, (_, call: string, paths: string) => call + paths.replace(/(?: ->)? '\/[^']*'/g, ''));
}
