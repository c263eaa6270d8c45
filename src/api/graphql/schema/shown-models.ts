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
 * The version of each model that the schema shows: the default one, or else the newest one that has a typed API. A removed model is shown in its last
 * form. They are ordered by name, because the first of two equal type names keeps it: removing a model renames no types of another.
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
