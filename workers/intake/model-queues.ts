import type { Broker, Consumer, Delivery, Verdict } from '../../src/broker/broker.ts';
import { LANES, type Lane, predictionQueue } from '../../src/broker/topology.ts';
import type { Log } from '../../src/process/log.ts';
import type { LoadedModel } from '../repository/model-loading.ts';
import { isOutgrown, nextPace, type Pace, prefetchAt } from '../scheduling/prefetch.ts';

export interface ModelQueuesOptions {
  broker: Broker;
  name: string;
  /** What bounds the runs of the model's versions at present: they share its queues. */
  versions: () => readonly LoadedModel[];
  slots: number;
  handler: (lane: Lane, delivery: Delivery) => Promise<Verdict>;
  /** Less is to be held than before: what waits is better given back; by a new limit, also what was given back before. */
  onLess: (isByLimit: boolean) => void;
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
  /** As of the last `relimit`. */
  #limits: string;
  #isRelimited = false;
  #isPaused = false;
  #isClosing = false;
  #changing: Promise<void> | undefined;

  private constructor(options: ModelQueuesOptions) {
    this.#options = options;
    this.#prefetch = this.#wanted();
    this.#limits = this.#limitsNow();
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
    this.#adapt();
  }

  /** Told when the limits of its versions may have changed: what they allow no more is given back at once. */
  relimit(): void {
    const limits = this.#limitsNow();
    if (limits === this.#limits) return;
    this.#limits = limits;
    this.#isRelimited = true;
    this.#adapt();
  }

  #adapt(): void {
    if (this.#changing || this.#isClosing) return;
    const wanted = this.#wanted();
    // Another pace may pass; another limit is meant as it is.
    const isByLimit = this.#isRelimited;
    const isDue = isByLimit ? wanted !== this.#prefetch : isOutgrown(this.#prefetch, wanted);
    this.#isRelimited = false;
    if (!isDue) return;
    const { name, log } = this.#options;
    this.#changing = this.#change(wanted, isByLimit)
      .catch((err: unknown) => log.error({ model: name, err }, 'prefetch not changed'))
      .finally(() => {
        this.#changing = undefined;
        if (this.#isRelimited) this.#adapt();
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

  /** Equal where nothing changed but how many versions there are. */
  #limitsNow(): string {
    const all = this.#options.versions().map(({ manifest, served }) => JSON.stringify([manifest, served.maxBatch]));
    return [...new Set(all)].sort().join();
  }

  async #change(prefetch: number, isByLimit: boolean): Promise<void> {
    const { name, onLess, log } = this.#options;
    const isLess = prefetch < this.#prefetch;
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
    if (isLess && !this.#isClosing) onLess(isByLimit);
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
