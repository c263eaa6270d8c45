import type { ServedModel } from '../../../models/served-model.ts';
import { type TypedApi, typedApiOf } from '../../../models/typed-api.ts';
import { compareModels, defaultVersions } from '../../../registry/registry.ts';

/** A model that has types in the schema. */
export interface ShownModel {
  /** The version whose types they are. */
  model: ServedModel;
  typedApi: TypedApi;
  /** `false` for one that was removed. */
  isServed: boolean;
}

/**
 * Which version of each model the schema shows: the default one, or else the newest that GraphQL can say. A model that was removed is shown as it
 * was last. In the order of names, since of two that would be the same the first keeps it: removing a model renames no other's types.
 */
export function shownModels(served: readonly ServedModel[], withdrawn: readonly ServedModel[]): ShownModel[] {
  const names = new Set(served.map(({ name }) => name));
  const removed = withdrawn.filter(({ name }) => !names.has(name));
  const versions = Map.groupBy([...served, ...removed].toSorted(compareModels), ({ name }) => name);
  return [...versions].flatMap(([name, all]) => {
    const shown = [...defaultVersions(all), ...all].find((model) => typedApiOf(model));
    const typedApi = shown && typedApiOf(shown);
    return typedApi ? [{ model: shown, typedApi, isServed: names.has(name) }] : [];
  });
}
