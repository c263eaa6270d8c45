import {
  GraphQLIncludeDirective,
  type GraphQLResolveInfo,
  GraphQLSkipDirective,
  getDirectiveValues,
  isAbstractType,
  isObjectType,
  Kind,
  type SelectionNode,
  type SelectionSetNode,
} from 'graphql';

/** Whether what is selected of a field would show anything of an object of this type. */
export function selectsOf({ fieldNodes, fragments, schema, variableValues }: GraphQLResolveInfo, typename: string) {
  const object = schema.getType(typename);
  const isMeant = (condition: string | undefined): boolean => {
    const type = condition === undefined ? undefined : schema.getType(condition);
    return !type || type === object || (isAbstractType(type) && isObjectType(object) && schema.isSubType(type, object));
  };
  const isIncluded = (node: SelectionNode): boolean =>
    getDirectiveValues(GraphQLSkipDirective, node, variableValues)?.['if'] !== true &&
    getDirectiveValues(GraphQLIncludeDirective, node, variableValues)?.['if'] !== false;
  // A fragment that was looked at and showed nothing shows nothing a second time: fragments of fragments would be looked at again and again.
  const seen = new Set<string>();
  const showsAny = ({ selections }: SelectionSetNode): boolean =>
    selections.some((selection): boolean => {
      if (!isIncluded(selection)) return false;
      if (selection.kind === Kind.FIELD) return true;
      if (selection.kind === Kind.FRAGMENT_SPREAD && seen.has(selection.name.value)) return false;
      if (selection.kind === Kind.FRAGMENT_SPREAD) seen.add(selection.name.value);
      const fragment = selection.kind === Kind.INLINE_FRAGMENT ? selection : fragments[selection.name.value];
      return fragment !== undefined && isMeant(fragment.typeCondition?.name.value) && showsAny(fragment.selectionSet);
    });
  return fieldNodes.some(({ selectionSet }) => selectionSet !== undefined && showsAny(selectionSet));
}
