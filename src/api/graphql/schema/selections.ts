import {
  type FragmentSpreadNode,
  GraphQLIncludeDirective,
  type GraphQLResolveInfo,
  GraphQLSkipDirective,
  getDirectiveValues,
  type InlineFragmentNode,
  isAbstractType,
  isObjectType,
  Kind,
  type SelectionNode,
  type SelectionSetNode,
} from 'graphql';

/** Whether the selections of a field include any field of an object of this type. */
export function selectsOf({ fieldNodes, fragments, schema, variableValues }: GraphQLResolveInfo, typename: string) {
  const object = schema.getType(typename);
  const isMeant = (condition: string | undefined): boolean => {
    const type = condition === undefined ? undefined : schema.getType(condition);
    return !type || type === object || (isAbstractType(type) && isObjectType(object) && schema.isSubType(type, object));
  };
  const isIncluded = (node: SelectionNode): boolean =>
    getDirectiveValues(GraphQLSkipDirective, node, variableValues)?.['if'] !== true &&
    getDirectiveValues(GraphQLIncludeDirective, node, variableValues)?.['if'] !== false;
  const seen = new Set<string>();
  const fragmentOf = (selection: FragmentSpreadNode | InlineFragmentNode) => {
    if (selection.kind === Kind.INLINE_FRAGMENT) return selection;
    const name = selection.name.value;
    // A fragment is read once: fragments within fragments would be read again and again.
    if (seen.has(name)) return undefined;
    seen.add(name);
    return fragments[name];
  };
  const shows = (selection: SelectionNode): boolean => {
    if (!isIncluded(selection)) return false;
    if (selection.kind === Kind.FIELD) return true;
    const fragment = fragmentOf(selection);
    return fragment !== undefined && isMeant(fragment.typeCondition?.name.value) && showsAny(fragment.selectionSet);
  };
  const showsAny = ({ selections }: SelectionSetNode): boolean => selections.some(shows);
  return fieldNodes.some(({ selectionSet }) => selectionSet !== undefined && showsAny(selectionSet));
}
