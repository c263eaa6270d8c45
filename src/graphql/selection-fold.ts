import { type DocumentNode, type FieldNode, type FragmentDefinitionNode, Kind, type SelectionSetNode } from 'graphql';

/** How a measure of selections is made. */
export interface SelectionMeasure {
  /** A field's value, by that of what is selected below it. */
  field(field: FieldNode, below: number): number;
  /** The value of selections next to each other. */
  join(values: readonly number[]): number;
}

/** The value of each operation's and fragment's selections, fragments spread out. Each fragment is measured once, however often it is spread. */
export function foldSelections(document: DocumentNode, measure: SelectionMeasure): number[] {
  const fragments = new Map<string, FragmentDefinitionNode>();
  for (const definition of document.definitions) {
    if (definition.kind === Kind.FRAGMENT_DEFINITION) fragments.set(definition.name.value, definition);
  }
  const measured = new Map<string, number>();
  const valueOfSet = ({ selections }: SelectionSetNode): number =>
    measure.join(
      selections.map((selection) => {
        if (selection.kind === Kind.FRAGMENT_SPREAD) return fragmentValue(selection.name.value);
        const below = selection.selectionSet ? valueOfSet(selection.selectionSet) : 0;
        return selection.kind === Kind.FIELD ? measure.field(selection, below) : below;
      }),
    );
  const fragmentValue = (name: string): number => {
    const known = measured.get(name);
    if (known !== undefined) return known;
    // A fragment that spreads itself is refused by a rule of GraphQL's own; here it must only come to an end.
    measured.set(name, 0);
    const fragment = fragments.get(name);
    const value = fragment ? valueOfSet(fragment.selectionSet) : 0;
    measured.set(name, value);
    return value;
  };
  return document.definitions.map((one) =>
    'selectionSet' in one && one.selectionSet ? valueOfSet(one.selectionSet) : 0,
  );
}
