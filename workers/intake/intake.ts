import { setImmediate } from 'node:timers/promises';
import { z } from 'zod';
import type { Delivery, Verdict } from '../../src/broker/broker.ts';
import { decodeMessage, type InputsReference, isReference, type PredictionMessage } from '../../src/broker/message.ts';
import { EXCHANGE, type Lane, predictionQueue } from '../../src/broker/topology.ts';
import { StoreUnavailable } from '../../src/errors.ts';
import type { Payloads } from '../../src/store/payloads.ts';
import type { Submission } from '../../src/task/task.ts';
import type { Tracing } from '../../src/telemetry/tracing.ts';
import { messageAttributes, taskAttributes } from '../../src/telemetry/tracing-attributes.ts';
import type { Tensor } from '../../src/tensor/tensor.ts';
import { frameReader } from '../../src/tensor/tensor-frame.ts';
import { RunError } from '../inference/run-error.ts';
import type { LoadedModel } from '../repository/model-loading.ts';
import type { ModelSource } from '../repository/model-repository.ts';
import type { Scheduler } from '../scheduling/scheduler.ts';
import { type FindRegistered, passOn, standIn } from '../tasks/absent-model.ts';
import type { ClaimOptions } from '../tasks/claim.ts';
import type { HeldBytes } from '../tasks/held-bytes.ts';
import { HeldTask, inputFault } from '../tasks/held-task.ts';
import type { Settlement } from '../tasks/settlement.ts';
import type { TasksInHand } from '../tasks/tasks-in-hand.ts';

export interface IntakeOptions extends ClaimOptions {
  models: ModelSource;
  findRegistered: FindRegistered;
  scheduler: Pick<Scheduler, 'add'>;
  settlement: Pick<Settlement, 'fail'>;
  inHand: TasksInHand;
  heldBytes: HeldBytes;
  payloads: Payloads;
  tracing: Tracing;
}

const readPayload = frameReader(z.null());

/** Takes a delivery from a lane of a model's; resolves with what becomes of it. */
export type TaskIntake = (model: string, lane: Lane, delivery: Delivery) => Promise<Verdict>;

/** Where deliveries become tasks, and verdicts go out: within the bounds of what a worker may hold. */
export function createTaskIntake(options: IntakeOptions): TaskIntake {
  return (model, lane, delivery) => takeIn(model, lane, delivery, options);
}

async function takeIn(model: string, lane: Lane, delivery: Delivery, options: IntakeOptions): Promise<Verdict> {
  const { closing, heldBytes, observer } = options;
  const prediction = read(delivery, options);
  if (!prediction) return 'dead-letter';
  const bytes = delivery.body.byteLength + (isReference(prediction.inputs) ? prediction.inputs.bytes : 0);
  // Large inputs are counted before they are fetched.
  if (closing.aborted || !heldBytes.take(model, bytes)) {
    // Behind the end of the consumer, which is on its way to the broker: it would come straight back.
    await setImmediate();
    return 'requeue';
  }
  try {
    const verdict = await handle(prediction, lane, delivery, options);
    if (typeof verdict === 'object') observer['retryAfterMs' in verdict ? 'retried' : 'returned']({ model });
    return verdict;
  } catch (error) {
    // The store was given up on because the worker closes, or because the broker has given the message out again.
    if (error instanceof StoreUnavailable) return 'requeue';
    throw error;
  } finally {
    heldBytes.give(model, bytes);
  }
}

async function handle(
  { submission, inputs }: { submission: Submission; inputs: PredictionMessage['inputs'] | RunError },
  lane: Lane,
  delivery: Delivery,
  options: IntakeOptions,
): Promise<Verdict> {
  const { models, inHand } = options;
  const model = models.find(submission.model) ?? (await standIn({ submission, delivery }, options));
  const known = inHand.find(submission.id);
  if (known) return inHand.adopt(known, delivery);
  if (!model) return passOn({ submission, delivery }, options);
  if (inputs instanceof RunError || !isReference(inputs)) {
    return hold({ submission, inputs, model, lane }, delivery, options);
  }
  const fetched = await fetch(submission.id, inputs, delivery, options);
  // From the beginning: meanwhile it may have come again, and the model have been replaced.
  return handle({ submission, inputs: fetched }, lane, delivery, options);
}

function hold(
  of: { submission: Submission; inputs: readonly Tensor[] | RunError; model: LoadedModel; lane: Lane },
  delivery: Delivery,
  { scheduler, settlement, inHand, tracing }: IntakeOptions,
): Promise<Verdict> {
  const { submission, inputs, model, lane } = of;
  const attributes = () => {
    const queue = predictionQueue(submission.model.name, lane);
    const message = messageAttributes({ operation: 'process', exchange: EXCHANGE, queue, message: delivery });
    return { ...message, ...taskAttributes(submission) };
  };
  const span = tracing.start('process', { kind: 'consumer', parent: delivery.traceparent, attributes });
  const isLost = inputs instanceof RunError;
  const task = new HeldTask(delivery, { submission, inputs: isLost ? [] : inputs, model, lane, span });
  const verdict = inHand.hold(task);
  const fault = isLost ? inputs : inputFault(task);
  if (fault) void settlement.fail(task, typeof fault === 'string' ? new RunError('MODEL_ERROR', fault) : fault);
  else scheduler.add(task);
  return verdict;
}

/** The inputs that a message refers to; why there are none, where the store has lost them or the task has ended, which its record then says. */
async function fetch(
  id: string,
  { bytes }: InputsReference,
  delivery: Delivery,
  { payloads, patient, closing }: IntakeOptions,
): Promise<Tensor[] | RunError> {
  const payload = await patient.ask(
    () => payloads.get(id),
    () => [delivery.signal, closing],
  );
  if (payload?.byteLength === bytes) return readPayload(payload).tensors;
  const found = payload ? `${payload.byteLength} bytes` : 'nothing';
  return new RunError(
    'INPUTS_LOST',
    `the store lost the inputs (expected ${bytes} bytes, found ${found}); submit again`,
  );
}

/** What a delivery says; `undefined` for one that nobody can make anything of. */
function read({ id, body }: Delivery, { log }: IntakeOptions): PredictionMessage | undefined {
  try {
    return decodeMessage(body);
  } catch (err) {
    log.error({ taskId: id, err }, 'prediction message unreadable, dead-lettered');
    return undefined;
  }
}
