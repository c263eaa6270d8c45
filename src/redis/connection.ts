import { Redis } from 'ioredis';
import { backOffMs } from '../async/back-off.ts';
import { messageOf, StoreFull, StoreUnavailable } from '../errors.ts';
import type { Log } from '../process/log.ts';
import { ANSWER_MS, isReplyError, startHeartbeat } from './heartbeat.ts';

/** How long a command may take altogether, the wait for a connection included; then it rejects. */
const COMMAND_MS = 2_500;

/** The same where values of tens of megabytes go, several behind each other, on a busy machine. */
const LARGE_COMMAND_MS = 20_000;

/** How long after a loss commands wait for the connection to come back; then they reject at once until it does. */
const PATIENCE_MS = 2_000;

/** How often an idle connection is asked whether its peer is still there. */
const HEARTBEAT_MS = 10_000;

const RETRY = { minMs: 50, maxMs: 2_000 };

/** How long a peer that is told goodbye may take to say it too. */
const GOODBYE_MS = 200;

/** Answers that mean "not now", in Redis's words: an outage, whereas any other error is a bug of ours. */
const OUTAGE =
  /(?:^|-)(LOADING|READONLY|CLUSTERDOWN|MASTERDOWN|OOM|MISCONF|BUSY|TRYAGAIN|NOREPLICAS|NOAUTH|WRONGPASS)\b/;

/** Which of a process's connections one is: its name in the log and in Redis's CLIENT LIST. */
export type RedisConnectionName = 'commands' | 'large' | 'subscriber';

export interface RedisConnectionOptions {
  url: string;
  name: RedisConnectionName;
  log: Log;
  /** @default 10_000 */
  heartbeatMs?: number | undefined;
}

/** One connection, which comes back by itself for as long as it is open. */
export interface RedisConnection {
  redis: Redis;
  /** Whether a command sent now would be carried out, as far as one can know. */
  isReady(): boolean;
  /** Runs commands; rejects with `StoreUnavailable` if they are not answered in time, with the error itself if it is a bug. */
  run<T>(send: (redis: Redis) => Promise<T>): Promise<T>;
  /** Calls `listener` whenever the connection has been made, for the first time or again. */
  onReady(listener: () => void): void;
  close(): Promise<void>;
}

/** Connects in the background, and never gives up: Redis need not be there yet. */
export function openRedisConnection(options: RedisConnectionOptions): RedisConnection {
  const { log, name } = options;
  const commandMs = name === 'large' ? LARGE_COMMAND_MS : COMMAND_MS;
  // An answer waits behind those before it.
  const answerMs = Math.max(ANSWER_MS, commandMs);
  const redis = new Redis(options.url, redisOptions(name, answerMs));
  rejectUnwritable(redis);
  let connected: boolean | undefined;
  let lastError: unknown;
  let closed = false;
  const gate = createGate(() => lastError);

  redis.on('error', (error: unknown) => {
    lastError = error;
  });
  redis.on('ready', () => {
    if (connected === false) log.info({ connection: name }, 'redis connection restored');
    connected = true;
    lastError = undefined;
    gate.open();
  });
  redis.on('close', () => {
    if (connected === false || closed) return;
    if (connected) gate.lose();
    log.warn(
      { connection: name, error: lastError === undefined ? undefined : messageOf(lastError) },
      connected ? 'redis connection lost' : 'redis not reachable yet',
    );
    connected = false;
  });
  redis.on('end', () => {
    // ioredis gives up where a connection is dropped before its socket exists; nobody but `close` may end it.
    if (!closed) setTimeout(() => void redis.connect().catch(() => undefined), RETRY.maxMs).unref();
  });

  const heartbeat = startHeartbeat(redis, {
    everyMs: options.heartbeatMs ?? HEARTBEAT_MS,
    answerMs,
    onSilence: (error) => {
      lastError = error;
    },
  });

  return {
    redis,
    isReady: () => redis.status === 'ready' && !heartbeat.isDoubtful() && !closed,
    async run(send) {
      const deadline = createDeadline(commandMs, heartbeat.suspect);
      try {
        return await Promise.race([gate.passed().then(() => send(redis)), deadline.passed]);
      } catch (error) {
        throw faultOf(error);
      } finally {
        deadline.clear();
      }
    },
    onReady: (listener) => void redis.on('ready', listener),
    async close() {
      closed = true;
      heartbeat.stop();
      gate.refuse('the store is closed');
      const ended = new Promise<void>((resolve) => redis.once('end', () => resolve()));
      // Between two attempts there is no socket whose end could be waited for.
      const idle = redis.status === 'end' || redis.status === 'reconnecting';
      redis.disconnect();
      if (!idle) await ended;
    },
  };
}

/** No `enableAutoPipelining`: commands of one tick go out together without it, and measured it costs a third of the throughput. */
function redisOptions(name: RedisConnectionName, answerMs: number) {
  return {
    connectionName: `foretell-${name}`,
    connectTimeout: COMMAND_MS,
    disconnectTimeout: GOODBYE_MS,
    // Also the deadline of the handshake with a peer that takes connections but does not answer.
    commandTimeout: answerMs,
    // Nothing is queued here and nothing is sent twice: a command whose connection is lost rejects at once (0 retries).
    // Sent again after a reconnect, a claim that Redis had carried out would count a second attempt, and one that
    // waited in a queue would be carried out long after its caller was told that it had failed.
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
    // `redis-events.ts` subscribes anew by itself: ioredis would let the promise of that SUBSCRIBE float.
    autoResubscribe: false,
    // After a failover the old master answers as a replica: the address leads to the new one.
    reconnectOnError: (error: Error) => error.message.startsWith('READONLY'),
    retryStrategy: (times: number) => backOffMs(RETRY, times),
  };
}

/**
 * A command that cannot be written, such as one of more text than a string may hold, makes `sendCommand` throw after ioredis has started the command's
 * timer. That timer would reject a promise that nobody has, which ends the process. So the command rejects at once.
 */
function rejectUnwritable(redis: Redis): void {
  const send = redis.sendCommand.bind(redis);
  redis.sendCommand = (command, stream) => {
    try {
      return send(command, stream);
    } catch (error) {
      command.reject(error instanceof Error ? error : new Error(messageOf(error)));
      return command.promise;
    }
  };
}

/** Where commands wait for the connection: all of one outage share one timer, which runs from its beginning. */
function createGate(causeOf: () => unknown) {
  let passage = Promise.withResolvers<void>();
  let timer: NodeJS.Timeout | undefined;

  function lose(): void {
    passage = Promise.withResolvers<void>();
    // With nobody waiting, the rejection is nobody's.
    passage.promise.catch(() => undefined);
    timer = setTimeout(() => refuse('Redis is not reachable'), PATIENCE_MS).unref();
  }
  function refuse(reason: string): void {
    clearTimeout(timer);
    passage.reject(new StoreUnavailable(reason, causeOf()));
  }
  lose();

  return {
    passed: () => passage.promise,
    lose,
    refuse,
    open() {
      clearTimeout(timer);
      passage.resolve();
      // The commands of an outage that took too long have been refused; those to come may pass.
      passage = Promise.withResolvers<void>();
      passage.resolve();
    },
  };
}

function createDeadline(commandMs: number, onPassed: () => void) {
  const { promise, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => {
    onPassed();
    reject(new StoreUnavailable(`Redis did not answer within ${commandMs} ms`));
  }, commandMs);
  return { passed: promise, clear: () => clearTimeout(timer) };
}

/** The error for the caller of a failed command: an outage, or a bug of ours. */
export function faultOf(error: unknown): Error {
  if (error instanceof StoreUnavailable) return error;
  if (!isReplyError(error)) return new StoreUnavailable('the connection to Redis was lost', error);
  const outage = OUTAGE.exec(textOf(error));
  // Without the error as its cause: it carries the inputs or the outputs that were refused.
  if (outage?.[1] === 'OOM') return new StoreFull('the store is out of memory: Redis refuses writes (OOM)');
  if (outage) return new StoreUnavailable(`Redis refuses commands for now (${outage[1]})`, error);
  // Not the error itself: it carries the command's arguments, whole outputs among them, into every log.
  return new Error(`Redis: ${error.message}`);
}

/** Of a transaction that was refused, also what its commands were refused for. */
function textOf(error: Error & { previousErrors?: unknown }): string {
  const { message, previousErrors } = error;
  return [message, ...(Array.isArray(previousErrors) ? previousErrors.map(messageOf) : [])].join(' -');
}
