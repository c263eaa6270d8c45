import {
  type DocumentNode,
  type FieldNode,
  type FragmentDefinitionNode,
  type GraphQLResolveInfo,
  Kind,
  type SelectionSetNode,
} from 'graphql';

/** Defines a measure of selections. */
export interface SelectionMeasure {
  /** The value of a field, from the value of the selections below it. */
  field(field: FieldNode, below: number): number;
  /** The value of selections side by side. */
  join(values: readonly number[]): number;
}

const FIELDS: SelectionMeasure = {
  field: (_field, below) => below + 1,
  join: (values) => values.reduce((sum, value) => sum + value, 0),
};

/** The value of each operation's and fragment's selections, fragments spread out. */
export function foldSelections(document: DocumentNode, measure: SelectionMeasure): number[] {
  const fragments = new Map<string, FragmentDefinitionNode>();
  for (const definition of document.definitions) {
    if (definition.kind === Kind.FRAGMENT_DEFINITION) fragments.set(definition.name.value, definition);
  }
  const fold = createFold((name) => fragments.get(name), measure);
  return document.definitions.map((one) => ('selectionSet' in one && one.selectionSet ? fold(one.selectionSet) : 0));
}

/** The number of fields selected below a field, fragments included: each object of the field answers them. */
export function fieldsBelow({ fieldNodes, fragments }: GraphQLResolveInfo): number {
  const fold = createFold((name) => fragments[name], FIELDS);
  return fieldNodes.reduce((sum, { selectionSet }) => sum + (selectionSet ? fold(selectionSet) : 0), 0);
}

/** Each fragment is measured once, however often it is spread. */
function createFold(
  fragmentOf: (name: string) => FragmentDefinitionNode | undefined,
  measure: SelectionMeasure,
): (selectionSet: SelectionSetNode) => number {
  const measured = new Map<string, number>();
  const fold = ({ selections }: SelectionSetNode): number =>
    measure.join(
      selections.map((selection) => {
        if (selection.kind === Kind.FRAGMENT_SPREAD) return foldFragment(selection.name.value);
        const below = selection.selectionSet ? fold(selection.selectionSet) : 0;
        return selection.kind === Kind.FIELD ? measure.field(selection, below) : below;
      }),
    );
  const foldFragment = (name: string): number => {
    const known = measured.get(name);
    if (known !== undefined) return known;
    // A fragment that spreads itself is refused by a rule of GraphQL's own; here it must only come to an end.
    measured.set(name, 0);
    const fragment = fragmentOf(name);
    const value = fragment ? fold(fragment.selectionSet) : 0;
    measured.set(name, value);
    return value;
  };
  return fold;
}
