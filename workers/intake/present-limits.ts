import type { LoadedModel } from '../repository/model-loading.ts';
import type { ModelSource } from '../repository/model-repository.ts';

/**
 * The version whose manifest bounds the runs of a model at present. Tasks of a version that was replaced or removed run for up to an hour yet: a limit
 * that the operator lowered must hold for them too, so what is served under the same name and version has the say, or else under the same name.
 */
export function presentLimits(model: LoadedModel, models: Pick<ModelSource, 'current' | 'runnable'>): LoadedModel {
  const { name } = model.served;
  const isServed = (other: LoadedModel) => other.served.name === name && models.current(other.served) === other;
  return models.current(model.served) ?? models.runnable().find(isServed) ?? model;
}
