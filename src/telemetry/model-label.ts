import { printable } from '../process/printable.ts';

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
    // The name of a folder may hold what a terminal obeys, and people look at /metrics there.
    const label = printable(model);
    if (known.has(label)) return label;
    if (known.size === MODELS_MAX) return OTHER_MODELS;
    known.add(label);
    return label;
  };
}
