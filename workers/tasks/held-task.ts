import { randomUUID } from 'node:crypto';
import type { Delivery, Verdict } from '../../src/broker/broker.ts';
import type { Lane } from '../../src/broker/topology.ts';
import type { Submission } from '../../src/task/task.ts';
import { describeShape, fitsShape, type Tensor } from '../../src/tensor/tensor.ts';
import type { BatchItem } from '../batching/batcher.ts';
import type { LoadedModel } from '../repository/model-loading.ts';

/** Each of this process's holdings has a number. */
const PROCESS = randomUUID();
let holdings = 0;

/**
 * A task that this worker holds: one unsettled delivery of it, whose verdict `release` gives. Where it is delivered again
 * meanwhile, as a second copy or because the connection was lost, the newest delivery is the one that counts.
 */
export class HeldTask implements BatchItem<LoadedModel> {
  readonly submission: Submission;
  readonly model: LoadedModel;
  readonly inputs: readonly Tensor[];
  readonly lane: Lane;
  /** The span of this holding, where traces are kept. */
  readonly traceparent: string | undefined;
  readonly arrivedAt = performance.now();
  /** Names this holding to the store, which counts it as one attempt however often it is told. */
  readonly claim = `${PROCESS}:${++holdings}`;
  /** One that was tried before runs alone, since it may be what made its batch fail. */
  alone: boolean;
  /** Which attempt this is; 0 until it was claimed. */
  attempt = 0;
  /** Whether it is known to have ended elsewhere, by a cancel for one: nobody waits for its run. */
  hasEnded = false;
  readonly #onRelease: (task: HeldTask) => void;
  #delivery: Delivery;
  #verdict = Promise.withResolvers<Verdict>();
  #wasRedelivered: boolean;

  constructor(
    delivery: Delivery,
    of: {
      submission: Submission;
      inputs: readonly Tensor[];
      model: LoadedModel;
      lane: Lane;
      traceparent?: string | undefined;
    },
    onRelease: (task: HeldTask) => void,
  ) {
    this.submission = of.submission;
    this.model = of.model;
    this.inputs = inSignatureOrder(of.inputs, of.model);
    this.lane = of.lane;
    this.traceparent = of.traceparent;
    this.alone = delivery.attemptsBefore > 0;
    this.#delivery = delivery;
    this.#wasRedelivered = delivery.redelivered;
    this.#onRelease = onRelease;
  }

  get owner(): string {
    return this.submission.owner;
  }

  get delivery(): Delivery {
    return this.#delivery;
  }

  /** Whether any of its deliveries was given out before, to a worker that may have died with it. */
  get wasRedelivered(): boolean {
    return this.#wasRedelivered;
  }

  /** What becomes of the present delivery. */
  verdict(): Promise<Verdict> {
    return this.#verdict.promise;
  }

  /**
   * Takes another delivery in the place of the present one, which is acked: one unsettled message is enough to bring the task
   * back should this worker die, and copies that wait here would keep other tasks out. (Where the old one's channel is gone,
   * RabbitMQ hears nothing of the ack, and the new one may be the same message.)
   */
  adopt(delivery: Delivery): void {
    this.#verdict.resolve('ack');
    this.#verdict = Promise.withResolvers();
    this.#delivery = delivery;
    this.#wasRedelivered ||= delivery.redelivered;
  }

  /** Ends the holding. */
  release(verdict: Verdict): void {
    this.#onRelease(this);
    this.#verdict.resolve(verdict);
  }

  /** Ends the holding by an error, which is whoever handles the delivery's to judge. */
  abandon(reason: unknown): void {
    this.#onRelease(this);
    this.#verdict.reject(reason);
  }
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
