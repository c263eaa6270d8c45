import { StoreUnavailable } from '../errors.ts';
import type { Log } from '../log.ts';
import type { ModelRegistry } from '../models/registry.ts';
import { fingerprintOf, type ServedModel, servedModelSchema } from '../models/served-model.ts';
import { createAnnounced } from './announced.ts';
import { inBackground, oneAtATime } from './one-at-a-time.ts';
import type { RedisLink } from './redis-link.ts';
import { type Announcement, createRedisModels } from './redis-models.ts';

const CHANNEL = 'foretell:models:changed';

const HEARTBEAT_MS = 10_000;
const READ_MS = 30_000;

export interface RedisRegistryOptions {
  link: RedisLink;
  /** Milliseconds that a task is kept from its terminal state on: its model's announcement is kept for as long. */
  resultTtlMs: number;
  log: Log;
}

/**
 * Models as all workers on one Redis announce them. What a worker no longer announces stays until nobody has renewed it for
 * a week: another worker may serve it still. The link stays the caller's.
 */
export function createRedisRegistry({ link, resultTtlMs, log }: RedisRegistryOptions): ModelRegistry {
  const { commands, events } = link;
  const models = createRedisModels(commands, resultTtlMs, log);
  const announced = createAnnounced(log);
  let mine: readonly Announcement[] = [];
  let hasRead = false;
  let closed = false;

  const tellOthers = () => commands.run((redis) => redis.publish(CHANNEL, ''));
  const renew = oneAtATime(async () => {
    if (!closed && (await models.renew(mine))) await tellOthers();
  });
  const read = oneAtATime(async () => {
    if (closed) return;
    const { current, restored } = await models.read();
    if (closed) return;
    hasRead = true;
    announced.replace(current);
    // Who read before it was put back has an empty list, and a worker that finds it put back has nothing to announce.
    if (restored) await tellOthers();
  });
  const renewSoon = inBackground(renew, log);
  const readSoon = inBackground(read, log);
  events.listen(CHANNEL, { onMessage: readSoon, onSubscribed: readSoon });
  commands.onReady(() => {
    renewSoon();
    readSoon();
  });
  const timers = [setInterval(renewSoon, HEARTBEAT_MS).unref(), setInterval(readSoon, READ_MS).unref()];

  return {
    isReady: () => hasRead && !closed,
    async announce(served) {
      if (closed) throw new StoreUnavailable('the registry is closed');
      mine = announcementsOf(served, mine);
      try {
        await renew();
        await read();
      } catch (err) {
        if (!(err instanceof StoreUnavailable)) throw err;
        // No reason for a worker not to start: the heartbeat says it as soon as Redis is there.
        log.warn({ err, models: mine.length }, 'models not announced yet');
      }
    },
    list: announced.list,
    find: models.find,
    watch: announced.watch,
    async close() {
      closed = true;
      for (const timer of timers) clearInterval(timer);
    },
  };
}

function announcementsOf(served: readonly ServedModel[], before: readonly Announcement[]): Announcement[] {
  return served.map((given) => {
    // Parsed as every reader will parse it, so that what none of them could read is refused here.
    const model = servedModelSchema.parse(given);
    const fingerprint = fingerprintOf(model);
    const same = before.find((announcement) => announcement.fingerprint === fingerprint);
    return { model, fingerprint, announcedAt: same?.announcedAt ?? Date.now() };
  });
}
