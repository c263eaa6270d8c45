import type { Broker, Consumer, Delivery, Verdict } from '../src/broker/broker.ts';
import { LANES, type Lane, predictionQueue } from '../src/broker/topology.ts';
import type { Log } from '../src/log.ts';
import { isOutgrown, nextPace, type Pace, prefetchAt } from './prefetch.ts';
import type { LoadedModel } from './repository/model-loading.ts';

export interface ModelQueuesOptions {
  broker: Broker;
  name: string;
  /** All versions of the model, as they are at present: they share its queues. */
  versions: () => readonly LoadedModel[];
  slots: number;
  handler: (lane: Lane, delivery: Delivery) => Promise<Verdict>;
  /** Less is to be held than before: what waits is better given back. */
  onSlower: () => void;
  log: Log;
}

/** The two queues of one model, each with a prefetch of its own, which follows the model's pace. */
export class ModelQueues {
  readonly #options: ModelQueuesOptions;
  /** RabbitMQ changes no prefetch of a consumer: another one takes its place, and it goes when its last delivery is settled. */
  #consumers: Consumer[] = [];
  readonly #replaced = new Set<Consumer>();
  #pace: Pace | undefined;
  #prefetch: number;
  #isPaused = false;
  #isClosing = false;
  #changing: Promise<void> | undefined;

  private constructor(options: ModelQueuesOptions) {
    this.#options = options;
    this.#prefetch = this.#wanted();
  }

  static async open(options: ModelQueuesOptions): Promise<ModelQueues> {
    const queues = new ModelQueues(options);
    queues.#consumers = await queues.#openLanes();
    return queues;
  }

  /** The most deliveries that are taken at once from each of its queues. */
  get prefetch(): number {
    return this.#prefetch;
  }

  /** Told of each run of the model. */
  ran(run: Pace): void {
    this.#pace = nextPace(this.#pace, run);
    const wanted = this.#wanted();
    if (!isOutgrown(this.#prefetch, wanted) || this.#changing || this.#isClosing) return;
    const { name, log } = this.#options;
    this.#changing = this.#change(wanted)
      .catch((err: unknown) => log.error({ model: name, err }, 'prefetch not changed'))
      .finally(() => {
        this.#changing = undefined;
      });
  }

  pause(): void {
    this.#isPaused = true;
    for (const consumer of this.#consumers) consumer.pause();
  }

  resume(): void {
    this.#isPaused = false;
    for (const consumer of this.#consumers) consumer.resume();
  }

  /** Takes no more deliveries; resolves when the verdicts of those in hand are with the broker. */
  async close(): Promise<void> {
    this.#isClosing = true;
    const closeAll = () => Promise.all([...this.#consumers, ...this.#replaced].map((consumer) => consumer.close()));
    const closed = closeAll();
    await this.#changing;
    await Promise.all([closed, closeAll()]);
  }

  #wanted(): number {
    const { versions, slots } = this.#options;
    return Math.max(1, ...versions().map((version) => prefetchAt(this.#pace, version, slots)));
  }

  async #change(prefetch: number): Promise<void> {
    const { name, onSlower, log } = this.#options;
    const isSlower = prefetch < this.#prefetch;
    this.#prefetch = prefetch;
    log.debug({ model: name, prefetch, ...this.#pace }, 'prefetch changed');
    const before = this.#consumers;
    for (const consumer of before) consumer.pause();
    this.#consumers = await this.#openLanes();
    if (this.#isPaused) this.pause();
    for (const consumer of before) {
      this.#replaced.add(consumer);
      void consumer.retire().then(() => this.#replaced.delete(consumer));
    }
    if (isSlower && !this.#isClosing) onSlower();
  }

  #openLanes(): Promise<Consumer[]> {
    const { broker, name, handler } = this.#options;
    return Promise.all(
      LANES.map((lane) => {
        const options = { queue: predictionQueue(name, lane), prefetch: this.#prefetch };
        return broker.consume(options, (delivery) => handler(lane, delivery));
      }),
    );
  }
}
