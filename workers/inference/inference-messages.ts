import type { ExecutionProvider } from '../../src/models/manifest.ts';
import type { Sharing } from '../../src/models/sharing.ts';
import type { OnnxTensor } from '../../src/models/signature.ts';
import type { Tensor } from '../../src/tensor/tensor.ts';
import type { LeftOut } from './left-out.ts';
import type { Probe, ProbeReport } from './probe.ts';
import type { SessionsReport } from './sessions.ts';
import type { SharingPlan } from './sharing-proof.ts';

/** A model file as it was when it was registered. */
export interface ModelFile {
  file: string;
  /** SHA-256, in hexadecimal: a file that was replaced since is not run under the old one's signature. */
  digest: string;
  /** What is to compute it, in order of preference. @default cpu */
  executionProviders?: readonly ExecutionProvider[];
}

/** What a process is to do with a model before it takes any work. */
export interface WarmUp {
  model: ModelFile;
  /** Of one run each. */
  inputs: readonly Tensor[][];
  /** How long each of the runs may take. */
  timeoutMs: number;
}

/** What a model's file says of itself. */
export interface DeclaredSignature {
  inputs: OnnxTensor[];
  outputs: OnnxTensor[];
  /** Outputs that are not served. */
  leftOut: LeftOut[];
}

/** What came of a run alone, or what the model said against it. */
export type RunAlone = { outputs: Tensor[]; runMs: number } | { fault: string };

/** What a worker asks of an inference process, one thing at a time. */
export type InferenceRequest =
  | { type: 'inspect'; model: ModelFile }
  | { type: 'probe'; model: ModelFile; probe: Probe }
  | { type: 'prove'; model: ModelFile; plan: SharingPlan }
  /** `again`: inputs that are run alone after the others, to compare. */
  | { type: 'run'; model: ModelFile; inputs: Tensor[]; again?: readonly Tensor[] | undefined };

/**
 * What an inference process says: once `ready`, then for each request `loading`, where the model is not loaded, `running`, before a run, and an answer. No more
 * than that: each message wakes the worker. What it noted is for the log, at any time.
 */
export type InferenceReply =
  | { type: 'ready' }
  | { type: 'loading' }
  | { type: 'running' }
  | { type: 'noted'; message: string; fields: object }
  | { type: 'answered'; answer: InferenceAnswer; sessions: SessionsReport };

export type InferenceAnswer =
  | { type: 'inspected'; signature: DeclaredSignature }
  | { type: 'probed'; report: ProbeReport }
  | { type: 'proven'; sharing: Sharing }
  | { type: 'ran'; outputs: Tensor[]; runMs: number; again?: RunAlone | undefined }
  | { type: 'failed'; message: string };
