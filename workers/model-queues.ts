import { setImmediate } from 'node:timers/promises';
import type { Broker, Consumer, Delivery, Verdict } from '../src/broker/broker.ts';
import { LANES, type Lane, predictionQueue } from '../src/broker/topology.ts';
import type { Log } from '../src/log.ts';
import type { LoadedModel } from './model-repository.ts';
import { isOutgrown, nextPace, type Pace, prefetchAt } from './prefetch.ts';

export interface ModelQueuesOptions {
  broker: Broker;
  name: string;
  /** All versions of the model: they share its queues. */
  versions: readonly LoadedModel[];
  slots: number;
  handler: (lane: Lane, delivery: Delivery) => Promise<Verdict>;
  /** Less is to be held than before: what waits is better given back. */
  onSlower: () => void;
  log: Log;
}

/** One consumer of a lane, and how much it has in hand. */
interface Taker {
  consumer: Consumer;
  inHand: number;
}

/** The two queues of one model, each with a prefetch of its own, which follows the model's pace. */
export class ModelQueues {
  readonly #options: ModelQueuesOptions;
  /** RabbitMQ changes no prefetch of a consumer: another one takes its place, and it goes when its last delivery is settled. */
  #takers: Taker[] = [];
  readonly #replaced = new Set<Taker>();
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
    queues.#takers = await queues.#openLanes();
    return queues;
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
    for (const { consumer } of this.#takers) consumer.pause();
  }

  resume(): void {
    this.#isPaused = false;
    for (const { consumer } of this.#takers) consumer.resume();
  }

  /** Takes no more deliveries; resolves when the verdicts of those in hand are with the broker. */
  async close(): Promise<void> {
    this.#isClosing = true;
    const closeAll = () => Promise.all([...this.#takers, ...this.#replaced].map(({ consumer }) => consumer.close()));
    const closed = closeAll();
    await this.#changing;
    await Promise.all([closed, closeAll()]);
  }

  #wanted(): number {
    const { versions, slots } = this.#options;
    return Math.max(...versions.map((version) => prefetchAt(this.#pace, version, slots)));
  }

  async #change(prefetch: number): Promise<void> {
    const { name, onSlower, log } = this.#options;
    const isSlower = prefetch < this.#prefetch;
    this.#prefetch = prefetch;
    log.debug({ model: name, prefetch, ...this.#pace }, 'prefetch changed');
    const before = this.#takers;
    for (const taker of before) {
      taker.consumer.pause();
      this.#replaced.add(taker);
    }
    this.#takers = await this.#openLanes();
    if (this.#isPaused) this.pause();
    for (const taker of before) if (taker.inHand === 0) void this.#retire(taker);
    if (isSlower && !this.#isClosing) onSlower();
  }

  #openLanes(): Promise<Taker[]> {
    return Promise.all(LANES.map((lane) => this.#openLane(lane)));
  }

  async #openLane(lane: Lane): Promise<Taker> {
    const { broker, name, handler } = this.#options;
    const taker = { inHand: 0 };
    const handle = async (delivery: Delivery): Promise<Verdict> => {
      taker.inHand += 1;
      try {
        return await handler(lane, delivery);
      } finally {
        taker.inHand -= 1;
        if (taker.inHand === 0) void this.#retire(taker);
      }
    };
    const options = { queue: predictionQueue(name, lane), prefetch: this.#prefetch };
    return Object.assign(taker, { consumer: await broker.consume(options, handle) });
  }

  /** Closes a consumer that was replaced, once its last verdict is on its way: a close would hurry that. */
  async #retire(taker: Pick<Taker, 'inHand'>): Promise<void> {
    await setImmediate();
    const replaced = [...this.#replaced].find((each) => each === taker);
    if (!replaced || this.#isClosing) return;
    await replaced.consumer.close();
    this.#replaced.delete(replaced);
  }
}
