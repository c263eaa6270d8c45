import { inBackground } from '../async/in-background.ts';
import { oneAtATime } from '../async/one-at-a-time.ts';
import { ifUnavailable, StoreUnavailable } from '../errors.ts';
import type { Log } from '../process/log.ts';
import type { RedisLink } from '../redis/link.ts';
import { createRedisModels } from './redis-models.ts';
import { createRedisPresence, type Presence } from './redis-presence.ts';
import { createRedisRegistering } from './redis-registering.ts';
import { createRedisSharing } from './redis-sharing.ts';
import { createRegistered } from './registered.ts';
import type { ModelRegistry, RegistryFault } from './registry.ts';

const CHANNEL = 'foretell:models:changed';

const HEARTBEAT_MS = 10_000;
const READ_MS = 10_000;

export interface RedisRegistryOptions {
  link: RedisLink;
  /** Milliseconds that a task is kept from its terminal state on: its model's registration is kept for as long. */
  resultTtlMs: number;
  log: Log;
}

/**
 * Models as all workers on one Redis register them. What its workers no longer renew stays for a week, and is then withdrawn. The link stays
 * the caller's.
 */
export function createRedisRegistry({ link, resultTtlMs, log }: RedisRegistryOptions): ModelRegistry {
  const { commands } = link;
  const models = createRedisModels(commands, resultTtlMs, log);
  const presence = createRedisPresence(commands);
  const sharing = createRedisSharing(commands);
  const registered = createRegistered(log);
  const registering = createRedisRegistering(models, presence);
  let present: readonly Presence[] = [];
  let hasRead = false;
  let closed = false;

  const tellOthers = () => commands.run((redis) => redis.publish(CHANNEL, ''));
  const renew = oneAtATime(async () => {
    if (!closed && (await registering.renew())) await tellOthers();
  });
  const read = oneAtATime(async () => {
    if (closed) return;
    const keys = registering.models().flatMap((model) => model.sharingKey ?? []);
    const [{ current, withdrawn, restored }, all, findings] = await Promise.all([
      models.read(),
      presence.all(),
      sharing.read(keys),
    ]);
    if (closed) return;
    hasRead = true;
    present = all;
    registered.replace(current, withdrawn);
    if (findings.changed) registered.tell();
    // Who read before it was put back has an empty list, and a worker that finds it put back has nothing to register.
    if (restored || findings.restored) await tellOthers();
  });
  const stop = keepUp(link, { renewSoon: inBackground(renew, log), readSoon: inBackground(read, log) });

  return {
    isReady: () => hasRead && !closed,
    async register(served, faults = []) {
      if (closed) throw new StoreUnavailable('the registry is closed');
      registering.replace(served, faults);
      try {
        await renew();
        await read();
      } catch (err) {
        if (!(err instanceof StoreUnavailable)) throw err;
        // No reason for a worker not to start: the heartbeat says it as soon as Redis is there.
        log.warn({ err, models: served.length }, 'models not registered yet');
      }
    },
    list: registered.list,
    withdrawn: registered.withdrawn,
    workers: (fingerprint) => present.filter((worker) => Object.values(worker.models).includes(fingerprint)).length,
    faults: () => distinct(present.flatMap(({ faults }) => faults)),
    find: models.find,
    sharing: sharing.sharing,
    findSharing: sharing.findSharing,
    async recordSharing(key, finding) {
      const { held, isNew } = await sharing.record(key, finding);
      if (isNew) registered.tell();
      if (isNew) await tellOthers().catch(ifUnavailable(undefined));
      return held;
    },
    watch: registered.watch,
    async close() {
      closed = true;
      stop();
      if (!registering.isRegistering()) return;
      // Left to itself it would be missed half a minute later.
      await presence.leave().then(tellOthers).catch(ifUnavailable(undefined));
    },
  };
}

/** Whenever something may have changed, and now and then. */
function keepUp({ commands, events }: RedisLink, on: { renewSoon: () => void; readSoon: () => void }): () => void {
  const { renewSoon, readSoon } = on;
  events.listen(CHANNEL, { onMessage: readSoon, onSubscribed: readSoon });
  commands.onReady(() => {
    renewSoon();
    readSoon();
  });
  const timers = [setInterval(renewSoon, HEARTBEAT_MS).unref(), setInterval(readSoon, READ_MS).unref()];
  return () => {
    for (const timer of timers) clearInterval(timer);
  };
}

/** Several workers with one directory have the same faults. */
function distinct(faults: readonly RegistryFault[]): RegistryFault[] {
  return [...new Map(faults.map((fault) => [JSON.stringify(fault), fault])).values()];
}
