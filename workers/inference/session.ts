import type { Tensor } from '../../src/tensor/tensor.ts';
import type { DeclaredSignature, ModelFile } from './inference-messages.ts';

/** A model that is loaded, whatever it is made of. */
export interface Session {
  /** Throws where an input, or every output, is none that Foretell serves. */
  signature(): DeclaredSignature;
  /** Without the outputs that are left out: they could not be read. `runMs` is what the model itself took. */
  run(inputs: readonly Tensor[]): Promise<{ outputs: Tensor[]; runMs: number }>;
  /** Frees its memory. */
  release(): Promise<void>;
}

/** What loads models of one kind, in the process that runs them. */
export interface Runtime {
  /** Takes what it needs for itself, which would otherwise seem to be the first model's. */
  start(): Promise<void>;
  /** What a process that loads the model certainly grows by. */
  leastBytes(file: string): Promise<number>;
  /** Loads a model, whose content is known to be that of its digest. `note` is for the log. */
  open(model: Required<ModelFile>, note: (message: string, fields: object) => void): Promise<Session>;
  /** What went wrong with a model as a client may read it: without the server's directories and the runtime's source. */
  readable(error: string, file: string): string;
}
