import { setImmediate } from 'node:timers/promises';
import type { Delivery, Verdict } from '../src/broker/broker.ts';
import { decodeMessage, type PredictionMessage } from '../src/broker/message.ts';
import { EXCHANGE, type Lane, predictionQueue } from '../src/broker/topology.ts';
import { StoreUnavailable } from '../src/errors.ts';
import type { Tracing } from '../src/telemetry/tracing.ts';
import { messageAttributes, taskAttributes } from '../src/telemetry/tracing-attributes.ts';
import { RunError } from './inference/run-error.ts';
import type { ModelSource } from './repository/model-repository.ts';
import type { Scheduler } from './scheduler.ts';
import { type FindAnnounced, passOn, standIn } from './tasks/absent-model.ts';
import type { ClaimOptions } from './tasks/claim.ts';
import type { HeldBytes } from './tasks/held-bytes.ts';
import { HeldTask, inputFault } from './tasks/held-task.ts';
import type { Settlement } from './tasks/settlement.ts';
import type { TasksInHand } from './tasks/tasks-in-hand.ts';

export interface IntakeOptions extends ClaimOptions {
  models: ModelSource;
  findAnnounced: FindAnnounced;
  scheduler: Pick<Scheduler, 'add'>;
  settlement: Pick<Settlement, 'fail'>;
  inHand: TasksInHand;
  heldBytes: HeldBytes;
  tracing: Tracing;
}

/** Takes a delivery from a lane of a model's; resolves with what becomes of it. */
export type Intake = (model: string, lane: Lane, delivery: Delivery) => Promise<Verdict>;

/** Where deliveries become tasks, and verdicts go out: within the bounds of what a worker may hold. */
export function createIntake(options: IntakeOptions): Intake {
  const { closing, heldBytes, observer } = options;
  return async (model, lane, delivery) => {
    const bytes = delivery.body.byteLength;
    if (closing.aborted || !heldBytes.take(model, bytes)) {
      // Behind the end of the consumer, which is on its way to the broker: it would come straight back.
      await setImmediate();
      return 'requeue';
    }
    try {
      const verdict = await handle(lane, delivery, options);
      if (typeof verdict === 'object') observer['retryAfterMs' in verdict ? 'retried' : 'returned']({ model });
      return verdict;
    } catch (error) {
      // The store was given up on because the worker closes, or because the broker has given the message out again.
      if (error instanceof StoreUnavailable) return 'requeue';
      throw error;
    } finally {
      heldBytes.give(model, bytes);
    }
  };
}

async function handle(lane: Lane, delivery: Delivery, options: IntakeOptions): Promise<Verdict> {
  const { models, scheduler, settlement, inHand, tracing } = options;
  const prediction = read(delivery, options);
  if (!prediction) return 'dead-letter';
  const { submission, inputs } = prediction;
  const model = models.find(submission.model) ?? (await standIn({ submission, delivery }, options));
  const known = inHand.find(submission.id);
  if (known) return inHand.adopt(known, delivery);
  if (!model) return passOn({ submission, delivery }, options);
  const queue = predictionQueue(submission.model.name, lane);
  const message = messageAttributes({ operation: 'process', exchange: EXCHANGE, queue, message: delivery });
  const attributes = { ...message, ...taskAttributes(submission) };
  const span = tracing.start('process', { kind: 'consumer', parent: delivery.traceparent, attributes });
  const { traceparent } = span;
  const task = new HeldTask(delivery, { submission, inputs, model, lane, traceparent }, (released) => {
    span.end();
    inHand.forget(released);
  });
  const verdict = inHand.hold(task);
  const fault = inputFault(task);
  if (fault) void settlement.fail(task, new RunError('MODEL_ERROR', fault));
  else scheduler.add(task);
  return verdict;
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
