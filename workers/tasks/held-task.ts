import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import type { Delivery, Verdict } from '../../src/broker/broker.ts';
import type { Lane } from '../../src/broker/topology.ts';
import type { Submission } from '../../src/task/task.ts';
import type { Span } from '../../src/telemetry/tracing.ts';
import { describeShape, fitsShape, type Tensor } from '../../src/tensor/tensor.ts';
import type { BatchItem } from '../batching/batch-line.ts';
import type { LoadedModel } from '../repository/model-loading.ts';

/** Each of this process's holdings has a number. */
const PROCESS = randomUUID();
let holdings = 0;

/** Where a held task stands, in this worker alone; its record has states of its own. */
export type HoldingState = 'WAITING' | 'CLAIMING' | 'CLAIMED' | 'RELEASED';

/**
 * The one table of legal transitions of a holding: from which states each state may be reached. A task is WAITING for its run;
 * CLAIMING right before it, while the store is asked; CLAIMED until its end is stored, and WAITING again, to run alone, where a run that
 * it shared failed. Any of them may be RELEASED, which is the end.
 */
export const HOLDING_REACHED_FROM: Record<HoldingState, readonly HoldingState[]> = {
  WAITING: ['CLAIMED'],
  CLAIMING: ['WAITING'],
  CLAIMED: ['CLAIMING'],
  RELEASED: ['WAITING', 'CLAIMING', 'CLAIMED'],
};

/**
 * A task that this worker holds: one unsettled delivery of it, whose verdict `release` gives. Where it is delivered again
 * meanwhile, as a second copy or because the connection was lost, the newest delivery is the one that counts.
 */
export class HeldTask implements BatchItem<LoadedModel> {
  readonly submission: Submission;
  readonly model: LoadedModel;
  readonly inputs: readonly Tensor[];
  readonly lane: Lane;
  readonly arrivedAt = performance.now();
  /** Names this holding to the store, which counts it as one attempt however often it is told. */
  readonly claim = `${PROCESS}:${++holdings}`;
  readonly #span: Span;
  #state: HoldingState = 'WAITING';
  #alone: boolean;
  #attempt = 0;
  #hasEnded = false;
  #delivery: Delivery;
  #wasRedelivered: boolean;
  #verdict = Promise.withResolvers<Verdict>();
  #onRelease: (() => void) | undefined;

  constructor(
    delivery: Delivery,
    of: {
      submission: Submission;
      inputs: readonly Tensor[];
      model: LoadedModel;
      lane: Lane;
      /** Of this holding, with which it ends. */
      span: Span;
    },
  ) {
    this.submission = of.submission;
    this.model = of.model;
    this.inputs = inSignatureOrder(of.inputs, of.model);
    this.lane = of.lane;
    this.#span = of.span;
    this.#alone = delivery.attemptsBefore > 0;
    this.#delivery = delivery;
    this.#wasRedelivered = delivery.redelivered;
  }

  get state(): HoldingState {
    return this.#state;
  }

  get owner(): string {
    return this.submission.owner;
  }

  /** The span of this holding, where traces are kept. */
  get traceparent(): string | undefined {
    return this.#span.traceparent;
  }

  /** One that was tried before runs alone, since it may be what made its batch fail. */
  get alone(): boolean {
    return this.#alone;
  }

  /** Which attempt this is; 0 until it was claimed. */
  get attempt(): number {
    return this.#attempt;
  }

  /** Whether it is known to have ended elsewhere, by a cancel for one: nobody waits for its run. */
  get hasEnded(): boolean {
    return this.#hasEnded;
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
    assert(this.#state !== 'RELEASED');
    this.#verdict.resolve('ack');
    this.#verdict = Promise.withResolvers();
    this.#delivery = delivery;
    this.#wasRedelivered ||= delivery.redelivered;
  }

  /** It was taken for a run: the store is being asked. */
  claiming(): void {
    this.#to('CLAIMING');
  }

  claimed(attempt: number): void {
    this.#to('CLAIMED');
    this.#attempt = attempt;
  }

  /** The run that it shared failed: it waits for another, still claimed. */
  waitAlone(): void {
    this.#to('WAITING');
    this.#alone = true;
  }

  /** Its record has ended, whatever becomes of it here. */
  noteEnd(): void {
    this.#hasEnded = true;
  }

  /** Calls `listener` at the end of the holding, in the place of the one before. */
  onRelease(listener: () => void): void {
    this.#onRelease = listener;
  }

  /** Ends the holding. Only the first end counts: a bug may end it while it is being settled. */
  release(verdict: Verdict): void {
    if (this.#end()) this.#verdict.resolve(verdict);
  }

  /** Ends the holding by an error, which is whoever handles the delivery's to judge. */
  abandon(reason: unknown): void {
    if (this.#end()) this.#verdict.reject(reason);
  }

  #end(): boolean {
    if (this.#state === 'RELEASED') return false;
    this.#to('RELEASED');
    this.#span.end();
    this.#onRelease?.();
    return true;
  }

  #to(state: HoldingState): void {
    assert(HOLDING_REACHED_FROM[state].includes(this.#state), `a held task goes from ${this.#state} to ${state}`);
    this.#state = state;
  }
}

/**
 * What is wrong with a task's inputs beside the signature of the model that is to run it; `undefined` if nothing is. The API
 * has checked them, but perhaps beside an older registration; and an input that does not fit would fail its whole batch.
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
  return extra && `input "${extra.name}": unexpected, or given twice`;
}

/** Tensors of a batch are joined by their place. */
function inSignatureOrder(inputs: readonly Tensor[], { served }: LoadedModel): Tensor[] {
  const place = ({ name }: Tensor) => served.signature.inputs.findIndex((spec) => spec.name === name);
  return [...inputs].sort((a, b) => place(a) - place(b));
}
