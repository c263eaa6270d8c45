import { randomUUID } from 'node:crypto';
import type { Delivery, Verdict } from '../src/broker/broker.ts';
import type { Submission } from '../src/task.ts';
import { describeShape, fitsShape, type Tensor } from '../src/tensor.ts';
import type { BatchItem } from './batcher.ts';
import type { LoadedModel } from './model-repository.ts';

/** A task whose delivery this worker holds; it ends by a verdict, or is abandoned: the broker then hands it out again. */
export interface HeldTask extends BatchItem<LoadedModel> {
  submission: Submission;
  /** The newest one, which the verdict settles: RabbitMQ gives a task out again when its connection is lost, to us as well. */
  delivery: Delivery;
  /** Names this holding to the store, which counts it as one attempt however often it is told. */
  claim: string;
  /** Which attempt this is; 0 until it was claimed. */
  attempt: number;
  verdict: PromiseWithResolvers<Verdict>;
  /** Whether it was given back: its next delivery is a new holding. */
  isAbandoned: boolean;
}

/** Holds a task; one that was tried before runs alone, since it may be what made its batch fail. */
export function holdTask(
  delivery: Delivery,
  { submission, inputs, model }: { submission: Submission; inputs: readonly Tensor[]; model: LoadedModel },
): HeldTask {
  return {
    submission,
    delivery,
    model,
    inputs: inSignatureOrder(inputs, model),
    alone: delivery.attemptsBefore > 0,
    arrivedAt: performance.now(),
    claim: randomUUID(),
    attempt: 0,
    verdict: Promise.withResolvers(),
    isAbandoned: false,
  };
}

/** Gives a task back to the broker, which hands it out again; one that is the broker's again already, it ignores. */
export function abandon(task: HeldTask, reason: unknown): void {
  const { delivery, verdict } = task;
  task.isAbandoned = true;
  if (delivery.signal.aborted) verdict.resolve('ack');
  else verdict.reject(reason);
}

/**
 * What is wrong with a task's inputs beside the signature of the model that is to run it; `undefined` if nothing is. The API
 * has checked them, but perhaps beside an older announcement; and an input that does not fit would fail its whole batch.
 */
export function inputFault({ inputs, model }: HeldTask): string | undefined {
  const specs = model.served.signature.inputs;
  for (const { name, datatype, shape } of specs) {
    const input = inputs.find((tensor) => tensor.name === name);
    const expected = `${datatype} ${describeShape(shape)}`;
    if (!input) return `input "${name}": expected ${expected}, got none`;
    if (input.datatype !== datatype || !fitsShape(input.shape, shape)) {
      return `input "${name}": expected ${expected}, got ${input.datatype} ${describeShape(input.shape)}`;
    }
  }
  const isExpected = ({ name }: Tensor, i: number) =>
    specs.some((spec) => spec.name === name) && inputs.findIndex((other) => other.name === name) === i;
  const extra = inputs.find((input, i) => !isExpected(input, i));
  return extra && `input "${extra.name}": expected no such, or no second one`;
}

/** Tensors of a batch are joined by their place. */
function inSignatureOrder(inputs: readonly Tensor[], { served }: LoadedModel): Tensor[] {
  const place = ({ name }: Tensor) => served.signature.inputs.findIndex((spec) => spec.name === name);
  return [...inputs].sort((a, b) => place(a) - place(b));
}
