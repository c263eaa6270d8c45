import {
  type ASTVisitor,
  type DocumentNode,
  type FragmentDefinitionNode,
  GraphQLError,
  type GraphQLSchema,
  Kind,
  NoSchemaIntrospectionCustomRule,
  type ParseOptions,
  parse,
  type SelectionSetNode,
  specifiedRules,
  type ValidationContext,
  type ValidationRule,
  validate,
} from 'graphql';
import type { Plugin } from 'graphql-yoga';

/** Tokens of a query document. Variables, where the data belongs, do not count. */
const TOKENS_MAX = 2_000;
/** Characters of a query document: documents are kept, parsed, for whoever asks the same again. */
const DOCUMENT_LENGTH_MAX = 32_768;
/** Levels of selections; a client's introspection query takes 15. */
const DEPTH_MAX = 20;
const ALIASES_MAX = 30;
const DIRECTIVES_MAX = 50;

/**
 * Bounds what one operation may ask, before anything is executed: tokens while parsing, the rest while validating
 * (a check per resolved field would answer 20,000 aliases with 20,000 errors).
 */
export interface Limits {
  /** Throws a `GraphQLError` where a document is none, or too long. */
  parse(source: string, options?: ParseOptions): DocumentNode;
  validate(schema: GraphQLSchema, document: DocumentNode, rules?: readonly ValidationRule[]): readonly GraphQLError[];
}

export function createLimits({ introspection }: { introspection: boolean }): Limits {
  const own = [depthLimit, aliasLimit, directiveLimit, ...(introspection ? [] : [NoSchemaIntrospectionCustomRule])];
  return {
    parse(source, options) {
      checkLength(source);
      return parse(source, { ...options, maxTokens: TOKENS_MAX });
    },
    // "Did you mean …?" would tell the schema to whoever guesses.
    validate: (schema, document, rules = specifiedRules) =>
      validate(schema, document, [...rules, ...own], { hideSuggestions: !introspection }),
  };
}

/** Has Yoga keep to them. */
export function useLimits(limits: Limits): Plugin {
  return {
    onParse: ({ params, setParseFn }) => {
      // Here as well: Yoga keeps, by their whole text, the documents that could not be parsed.
      checkLength(String(params.source));
      setParseFn((source: string) => limits.parse(source, params.options));
    },
    onValidate: ({ setValidationFn }) => setValidationFn(limits.validate),
  };
}

function checkLength(source: string): void {
  if (source.length <= DOCUMENT_LENGTH_MAX) return;
  const message = `the operation has more than ${DOCUMENT_LENGTH_MAX} characters; data belongs in variables`;
  throw new GraphQLError(message, { extensions: { code: 'GRAPHQL_PARSE_FAILED', http: { spec: true, status: 400 } } });
}

function refuse(context: ValidationContext, what: string, max: number): void {
  context.reportError(new GraphQLError(`the operation has more than ${max} ${what}`));
}

function aliasLimit(context: ValidationContext): ASTVisitor {
  let aliases = 0;
  return {
    Field: ({ alias }) => {
      if (alias && ++aliases === ALIASES_MAX + 1) refuse(context, 'aliases', ALIASES_MAX);
    },
  };
}

function directiveLimit(context: ValidationContext): ASTVisitor {
  let directives = 0;
  return {
    Directive: () => {
      if (++directives === DIRECTIVES_MAX + 1) refuse(context, 'directives', DIRECTIVES_MAX);
    },
  };
}

function depthLimit(context: ValidationContext): ASTVisitor {
  return {
    Document: (document) => {
      if (depthOf(document) > DEPTH_MAX) refuse(context, 'levels', DEPTH_MAX);
    },
  };
}

/** The deepest selection of a document, fragments spread out; each fragment is measured once. */
function depthOf(document: DocumentNode): number {
  const fragments = new Map<string, FragmentDefinitionNode>();
  for (const definition of document.definitions) {
    if (definition.kind === Kind.FRAGMENT_DEFINITION) fragments.set(definition.name.value, definition);
  }
  const measured = new Map<string, number>();
  const measure = ({ selections }: SelectionSetNode): number =>
    Math.max(
      ...selections.map((selection) => {
        if (selection.kind === Kind.FRAGMENT_SPREAD) return measureFragment(selection.name.value);
        const inner = selection.selectionSet ? measure(selection.selectionSet) : 0;
        return selection.kind === Kind.FIELD ? inner + 1 : inner;
      }),
    );
  const measureFragment = (name: string): number => {
    const known = measured.get(name);
    if (known !== undefined) return known;
    // A fragment that spreads itself is refused by a rule of GraphQL's own; here it must only come to an end.
    measured.set(name, 0);
    const fragment = fragments.get(name);
    const depth = fragment ? measure(fragment.selectionSet) : 0;
    measured.set(name, depth);
    return depth;
  };
  return Math.max(
    0,
    ...document.definitions.map((one) => ('selectionSet' in one && one.selectionSet ? measure(one.selectionSet) : 0)),
  );
}
