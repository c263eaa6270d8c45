import { inBackground } from '../async/in-background.ts';
import { oneAtATime } from '../async/one-at-a-time.ts';
import { ifUnavailable, StoreUnavailable } from '../errors.ts';
import { fingerprintOf, type ServedModel, servedModelSchema } from '../models/served-model.ts';
import type { Log } from '../process/log.ts';
import type { RedisLink } from '../redis/link.ts';
import { createAnnounced } from './announced.ts';
import { type Announcement, createRedisModels, fieldOf } from './redis-models.ts';
import { createRedisPresence, type Presence } from './redis-presence.ts';
import { createRedisSharing } from './redis-sharing.ts';
import type { ModelRegistry, RegistryFault } from './registry.ts';

const CHANNEL = 'foretell:models:changed';

const HEARTBEAT_MS = 10_000;
const READ_MS = 10_000;

export interface RedisRegistryOptions {
  link: RedisLink;
  /** Milliseconds that a task is kept from its terminal state on: its model's announcement is kept for as long. */
  resultTtlMs: number;
  log: Log;
}

/**
 * Models as all workers on one Redis announce them. What its workers no longer renew stays for a week, and is then withdrawn. The link stays
 * the caller's.
 */
export function createRedisRegistry({ link, resultTtlMs, log }: RedisRegistryOptions): ModelRegistry {
  const { commands, events } = link;
  const models = createRedisModels(commands, resultTtlMs, log);
  const presence = createRedisPresence(commands);
  const sharing = createRedisSharing(commands);
  const announced = createAnnounced(log);
  let mine: readonly Announcement[] | undefined;
  let faulty: readonly RegistryFault[] = [];
  /** What this worker had and has no more, until it is known who else has it. */
  const dropped = new Set<string>();
  let present: readonly Presence[] = [];
  let hasRead = false;
  let closed = false;

  const tellOthers = () => commands.run((redis) => redis.publish(CHANNEL, ''));
  async function withdraw(fields: readonly string[]): Promise<boolean> {
    if (fields.length === 0) return false;
    const others = await presence.others();
    // Of several workers that drop a model at once, each has told so before it asks: the last one finds it with nobody.
    const orphaned = fields.filter((field) => !others.some((other) => field in other.models));
    await models.withdraw(orphaned);
    for (const field of fields) dropped.delete(field);
    return orphaned.length > 0;
  }
  const renew = oneAtATime(async () => {
    if (closed || !mine) return;
    // As of now: what is dropped from here on has not been told when the others are asked.
    const [announcements, leaving] = [mine, [...dropped]];
    const having = Object.fromEntries(announcements.map(({ model, fingerprint }) => [fieldOf(model), fingerprint]));
    const isNew = await presence.tell({ models: having, faults: faulty });
    const isChanged = await models.renew(announcements);
    const isWithdrawn = await withdraw(leaving);
    if (isNew || isChanged || isWithdrawn) await tellOthers();
  });
  const read = oneAtATime(async () => {
    if (closed) return;
    const keys = (mine ?? []).flatMap(({ model }) => model.sharingKey ?? []);
    const [{ current, withdrawn, restored }, all, findings] = await Promise.all([
      models.read(),
      presence.all(),
      sharing.read(keys),
    ]);
    if (closed) return;
    hasRead = true;
    present = all;
    announced.replace(current, withdrawn);
    if (findings.changed) announced.tell();
    // Who read before it was put back has an empty list, and a worker that finds it put back has nothing to announce.
    if (restored || findings.restored) await tellOthers();
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
    async announce(served, faults = []) {
      if (closed) throw new StoreUnavailable('the registry is closed');
      const before = mine ?? [];
      mine = announcementsOf(served, before);
      faulty = faults;
      for (const { model } of before) dropped.add(fieldOf(model));
      for (const { model } of mine) dropped.delete(fieldOf(model));
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
    withdrawn: announced.withdrawn,
    workers: (fingerprint) => present.filter((worker) => Object.values(worker.models).includes(fingerprint)).length,
    faults: () => distinct(present.flatMap(({ faults }) => faults)),
    find: models.find,
    sharing: sharing.sharing,
    findSharing: sharing.findSharing,
    async recordSharing(key, finding) {
      const { held, isNew } = await sharing.record(key, finding);
      if (isNew) {
        announced.tell();
        await tellOthers().catch(ifUnavailable(undefined));
      }
      return held;
    },
    watch: announced.watch,
    async close() {
      closed = true;
      for (const timer of timers) clearInterval(timer);
      if (!mine) return;
      // Left to itself it would be missed half a minute later.
      await presence.leave().then(tellOthers).catch(ifUnavailable(undefined));
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

/** Several workers with one directory have the same faults. */
function distinct(faults: readonly RegistryFault[]): RegistryFault[] {
  return [...new Map(faults.map((fault) => [JSON.stringify(fault), fault])).values()];
}
