import { createHash } from 'node:crypto';

/**
 * Names and arguments of everything declared in RabbitMQ, as data. RabbitMQ refuses a queue declared again with other
 * arguments, so nothing here changes without a new version in the name. The arguments fit RabbitMQ 3.10 to 4.x.
 */
const PREFIX = 'foretell.v1';

/** What waits in `high` is taken first. */
export const LANES = ['normal', 'high'] as const;

export type Lane = (typeof LANES)[number];

/** Direct: a message goes to the queue that its routing key names, or is returned to its publisher. */
export const EXCHANGE = PREFIX;

/**
 * Direct: what has waited for its retry goes to the queue that its routing key names, or, if that was deleted, to the
 * dead letters. RabbitMQ would hold it in the retry queue instead, where 32 such messages stop everybody's retries.
 */
export const RETURN_EXCHANGE = `${PREFIX}.return`;

/** Fanout, to the one queue of the same name, so that a dead letter keeps the routing key of the queue it came from. */
export const DEAD_LETTER_QUEUE = `${PREFIX}.dead`;

/** Fanout exchange and queue share the name; what expires goes to `RETURN_EXCHANGE` with the routing key that it came with. */
export interface DelayQueue {
  queue: string;
  delayMs: number;
}

/** Fixed delays, because a message with a delay of its own would expire only at the head of its queue. */
export const LONGEST_DELAY: DelayQueue = { queue: `${PREFIX}.retry.30s`, delayMs: 30_000 };
export const DELAY_QUEUES: readonly DelayQueue[] = [
  { queue: `${PREFIX}.retry.1s`, delayMs: 1_000 },
  { queue: `${PREFIX}.retry.5s`, delayMs: 5_000 },
  LONGEST_DELAY,
];

/** Largest body that is published. RabbitMQ 4 closes the channel of whoever sends more; 3.10 would take 128 MiB. */
export const MESSAGE_BYTES_MAX = 16 * 1024 * 1024;

const PREDICTION_PREFIX = `${PREFIX}.predict.`;

const HIGH_SUFFIX = '.high';

/** So many tasks travel as one, no more and no fewer: then what waits in their queue, and what is taken of it, is known by its messages. */
export const BUNDLE_SIZE = 4;

/** As long as the other prefix, so that a name fits under both. */
const BUNDLE_PREFIX = `${PREFIX}.bundle${BUNDLE_SIZE}.`;

/** AMQP's limit for a name. */
const NAME_BYTES_MAX = 255;

/**
 * The queue of a model's lane. A name that AMQP cannot carry, that could be read as another model's lane, or that looks like
 * one of those settled by a hash, is settled by a hash.
 */
export function predictionQueue(model: string, lane: Lane): string {
  const suffix = lane === 'high' ? HIGH_SUFFIX : '';
  const queue = `${PREDICTION_PREFIX}${model}${suffix}`;
  const isPlain = !/[\p{Cc}\p{Cs}]|\.high$|~[0-9a-f]{64}$/u.test(model);
  if (isPlain && Buffer.byteLength(queue) <= NAME_BYTES_MAX) return queue;
  const readable = model.replace(/[^\w.-]/g, '_').slice(0, 100);
  const hash = createHash('sha256').update(Buffer.from(model, 'utf16le')).digest('hex');
  return `${PREDICTION_PREFIX}${readable}~${hash}${suffix}`;
}

/** Whether a name is one that `predictionQueue` gives; what a stranger wrote into a message is not made a queue. */
export function isPredictionQueue(name: string): boolean {
  return name.startsWith(PREDICTION_PREFIX) && Buffer.byteLength(name) <= NAME_BYTES_MAX;
}

/** The queue beside a model's normal one that holds bundles; `undefined` for any other: what is urgent is not many. */
export function bundleQueueOf(queue: string): string | undefined {
  const has = isPredictionQueue(queue) && !queue.endsWith(HIGH_SUFFIX);
  return has ? BUNDLE_PREFIX + queue.slice(PREDICTION_PREFIX.length) : undefined;
}

/** The queues that hold what is published to a queue, and for how many tasks a message of each counts. */
export function queuesOf(queue: string): { queue: string; tasks: number }[] {
  const bundleQueue = bundleQueueOf(queue);
  return [{ queue, tasks: 1 }, ...(bundleQueue === undefined ? [] : [{ queue: bundleQueue, tasks: BUNDLE_SIZE }])];
}

/** The shortest delay that is not shorter than asked, or the longest there is. */
export function delayQueueFor(afterMs: number): DelayQueue {
  return DELAY_QUEUES.find(({ delayMs }) => delayMs >= afterMs) ?? LONGEST_DELAY;
}

type QueueArguments = Record<string, string | number>;

/** Dead-lettered at least once: kept in the queue until the next one has confirmed it, which needs reject-publish. */
const QUORUM = { 'x-queue-type': 'quorum', 'x-overflow': 'reject-publish', 'x-dead-letter-strategy': 'at-least-once' };

/** No `x-max-length`: a quorum queue overshoots it, and how much may wait is decided before the publish. */
export const PREDICTION_QUEUE_ARGUMENTS: QueueArguments = {
  ...QUORUM,
  // Only a handler that takes its whole process down gets here; attempts are counted by us.
  'x-delivery-limit': 20,
  'x-dead-letter-exchange': DEAD_LETTER_QUEUE,
};

export interface StandingQueue {
  queue: string;
  arguments: QueueArguments;
}

/** Queues that are there whatever models there are, each bound to the fanout exchange of its name. */
export const STANDING_QUEUES: readonly StandingQueue[] = [
  // Without a limit RabbitMQ 4 would drop a dead letter after its 20th return; 3.10 does not take the -1 that means none.
  { queue: DEAD_LETTER_QUEUE, arguments: { 'x-queue-type': 'quorum', 'x-delivery-limit': 1_000_000_000 } },
  ...DELAY_QUEUES.map(({ queue, delayMs }) => ({
    queue,
    arguments: { ...QUORUM, 'x-message-ttl': delayMs, 'x-dead-letter-exchange': RETURN_EXCHANGE },
  })),
];
