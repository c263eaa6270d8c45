/** Names of models that get series of their own; those beyond share one, so that the series have a bound. */
const MODELS_MAX = 500;
const OTHER_MODELS = 'other';

/** The label of a model's series, from its name. */
export type ModelLabel = (model: string | undefined) => string;

/** An empty label is one that is not there. */
export function createModelLabel(): ModelLabel {
  const known = new Set<string>();
  return (model = '') => {
    if (model === '' || known.has(model)) return model;
    if (known.size === MODELS_MAX) return OTHER_MODELS;
    known.add(model);
    return model;
  };
}
