import { Worker } from 'node:worker_threads';
import { messageOf } from '../../src/errors.ts';
import type { Tensor } from '../../src/tensor/tensor.ts';
import type { InferenceAnswer, InferenceReply, InferenceRequest, ModelFile, RunAlone } from './inference-messages.ts';
import { digestOf } from './model-file.ts';
import { onnxRuntime } from './onnx/onnx-runtime.ts';
import { runProbe } from './probe.ts';
import type { Runtime, Session } from './session.ts';
import { Sessions } from './sessions.ts';
import { proveSharing } from './sharing-proof.ts';

// A terminal's Ctrl-C reaches the whole process group; this one goes on until the worker has drained and lets go of it. SIGHUP ends nothing.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => {});
const runtime: Runtime = onnxRuntime;
await runtime.start();
const sessions = new Sessions<Session>({
  budgetBytes: Number(process.argv[2]),
  measure(how) {
    // Inputs and outputs that went through are garbage, which says nothing of the models.
    if (how === 'freshly') globalThis.gc?.();
    return process.memoryUsage.rss();
  },
  release: (session) => session.release(),
});

async function answer(request: InferenceRequest): Promise<InferenceAnswer> {
  const session = await sessionOf(request.model);
  if (request.type === 'inspect') return { type: 'inspected', signature: session.signature() };
  send({ type: 'running' });
  try {
    if (request.type === 'probe') {
      return { type: 'probed', report: await runProbe(request.probe, (inputs) => session.run(inputs)) };
    }
    if (request.type === 'prove') {
      const { file } = request.model;
      const run = (inputs: readonly Tensor[]) =>
        session.run(inputs).catch((error: unknown) => {
          throw new Error(runtime.readable(messageOf(error), file));
        });
      return { type: 'proven', sharing: await proveSharing(request.plan, run) };
    }
    const ran = await session.run(request.inputs);
    return { type: 'ran', ...ran, again: request.again && (await runAgain(session, request.model, request.again)) };
  } finally {
    await sessions.ran();
  }
}

async function runAgain(session: Session, model: ModelFile, inputs: readonly Tensor[]): Promise<RunAlone> {
  // With a time limit of its own.
  send({ type: 'running' });
  try {
    return await session.run(inputs);
  } catch (error) {
    return { fault: faultOf(error, model) };
  }
}

async function sessionOf(model: ModelFile): Promise<Session> {
  const { file, digest, executionProviders = [{ name: 'cpu' }] } = model;
  const key = JSON.stringify([digest, file, executionProviders]);
  if (!sessions.has(key)) send({ type: 'loading' });
  try {
    return await sessions.use(key, {
      leastBytes: () => runtime.leastBytes(file),
      async load() {
        if ((await digestOf(file)) !== digest) throw new Error('the file has changed since it was registered');
        return runtime.open({ file, digest, executionProviders }, note);
      },
      onTooLarge: (bytes) => note('model is larger than the memory budget, loaded alone', { file, bytes }),
    });
  } catch (error) {
    throw new Error(`the model could not be loaded: ${messageOf(error)}`);
  }
}

function send(reply: InferenceReply): void {
  // A worker that is gone hears nothing; the disconnect ends this process.
  process.send?.(reply, undefined, undefined, () => {});
}

function note(message: string, fields: object): void {
  send({ type: 'noted', message, fields });
}

function report(answered: InferenceAnswer): void {
  send({ type: 'answered', answer: answered, sessions: sessions.report() });
}

/** This may reach a client, who has no business with the server's directories and the runtime's source; the log has all of it. */
function faultOf(error: unknown, { file }: ModelFile): string {
  const fault = messageOf(error);
  const readable = runtime.readable(fault, file);
  if (readable !== fault) note('model failed, in the words of ONNX Runtime', { file, fault });
  return readable;
}

process.on('message', (request: InferenceRequest) => {
  answer(request)
    .then(report)
    .catch((error: unknown) => report({ type: 'failed', message: faultOf(error, request.model) }));
});
process.on('disconnect', () => process.exit());
// It has no part in what happens here, and does not keep the process alive.
new Worker(new URL('orphan-watch.js', import.meta.url), { workerData: process.ppid }).unref();
send({ type: 'ready' });
