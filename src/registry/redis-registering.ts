import { fingerprintOf, type ServedModel, servedModelSchema } from '../models/served-model.ts';
import { fieldOf, type RedisModels } from './redis-models.ts';
import type { RedisPresence } from './redis-presence.ts';
import type { Registration } from './redis-registrations.ts';
import type { RegistryFault } from './registry.ts';

/** What this process registers, if it is a worker's. */
export interface RedisRegistering {
  /** From now on these instead of those before. */
  replace(served: readonly ServedModel[], faults: readonly RegistryFault[]): void;
  /** Says it, or says it again; resolves with whether others have to know. */
  renew(): Promise<boolean>;
  isRegistering(): boolean;
  models(): readonly ServedModel[];
}

export function createRedisRegistering(models: RedisModels, presence: RedisPresence): RedisRegistering {
  let mine: readonly Registration[] | undefined;
  let faulty: readonly RegistryFault[] = [];
  /** What this worker had and has no more, until it is known who else has it. */
  const dropped = new Set<string>();

  async function withdraw(fields: readonly string[]): Promise<boolean> {
    if (fields.length === 0) return false;
    const others = await presence.others();
    // Of several workers that drop a model at once, each has told so before it asks: the last one finds it with nobody.
    const orphaned = fields.filter((field) => !others.some((other) => field in other.models));
    await models.withdraw(orphaned);
    for (const field of fields) dropped.delete(field);
    return orphaned.length > 0;
  }

  return {
    replace(served, faults) {
      const before = mine ?? [];
      mine = registrationsOf(served, before);
      faulty = faults;
      for (const { model } of before) dropped.add(fieldOf(model));
      for (const { model } of mine) dropped.delete(fieldOf(model));
    },
    async renew() {
      if (!mine) return false;
      // As of now: what is dropped from here on has not been told when the others are asked.
      const [registrations, leaving] = [mine, [...dropped]];
      const having = Object.fromEntries(registrations.map(({ model, fingerprint }) => [fieldOf(model), fingerprint]));
      const isNew = await presence.tell({ models: having, faults: faulty });
      const isChanged = await models.renew(registrations);
      const isWithdrawn = await withdraw(leaving);
      return isNew || isChanged || isWithdrawn;
    },
    isRegistering: () => mine !== undefined,
    models: () => (mine ?? []).map(({ model }) => model),
  };
}

function registrationsOf(served: readonly ServedModel[], before: readonly Registration[]): Registration[] {
  return served.map((given) => {
    // Parsed as every reader will parse it, so that what none of them could read is refused here.
    const model = servedModelSchema.parse(given);
    const fingerprint = fingerprintOf(model);
    const same = before.find((registration) => registration.fingerprint === fingerprint);
    return { model, fingerprint, announcedAt: same?.announcedAt ?? Date.now() };
  });
}
