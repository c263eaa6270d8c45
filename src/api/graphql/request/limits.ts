import {
  type ASTVisitor,
  type DocumentNode,
  GraphQLError,
  type GraphQLSchema,
  Kind,
  NoSchemaIntrospectionCustomRule,
  parse,
  specifiedRules,
  type ValidationContext,
  validate,
} from 'graphql';
import { foldSelections, type SelectionMeasure } from '../schema/selection-fold.ts';

/** Tokens of a query document. Variables, where the data belongs, do not count. */
const TOKENS_MAX = 2_000;
/** Characters of a query document: documents are kept, parsed, for whoever asks the same again. */
const DOCUMENT_LENGTH_MAX = 32_768;
/** Levels of selections; a client's introspection query takes 15. */
const DEPTH_MAX = 20;
const ALIASES_MAX = 30;
const DIRECTIVES_MAX = 50;
/** Selections of one name next to each other: GraphQL compares each with each, and what is below them too. */
const REPEATS_MAX = 20;
/** Lists that are selected of the schema, fragments spread out; a client's introspection query takes 10. */
const SCHEMA_LISTS_MAX = 20;
/** Faults of a document that are named; one more says that there are others. */
const ERRORS_MAX = 20;
/** With more faults nothing is suggested: each suggestion compares a name with all names of a type, letter by letter. */
const SUGGESTED_MAX = 3;

/**
 * Bounds what one operation may ask, before anything is executed: tokens while parsing, the rest while validating
 * (a check per resolved field would answer 20,000 aliases with 20,000 errors).
 */
export interface Limits {
  /** Throws a `GraphQLError` where a document is none, or too long. */
  parse(source: string): DocumentNode;
  validate(schema: GraphQLSchema, document: DocumentNode): readonly GraphQLError[];
}

export function createLimits({ introspection }: { introspection: boolean }): Limits {
  const own = [depthLimit, aliasLimit, directiveLimit, repeatLimit, schemaListLimit];
  const specified = [...specifiedRules, ...(introspection ? [] : [NoSchemaIntrospectionCustomRule])];
  const maxErrors = ERRORS_MAX;
  return {
    parse(source) {
      checkLength(source);
      try {
        return parse(source, { maxTokens: TOKENS_MAX });
      } catch (error) {
        throw error instanceof GraphQLError ? asRefusal(error, 'GRAPHQL_PARSE_FAILED') : error;
      }
    },
    validate(schema, document) {
      const faults = faultsOf(schema, document);
      for (const fault of faults) asRefusal(fault, 'GRAPHQL_VALIDATION_FAILED');
      return faults;
    },
  };

  function faultsOf(schema: GraphQLSchema, document: DocumentNode): readonly GraphQLError[] {
    // First, since what they refuse may take GraphQL's own rules long.
    const beyond = validate(schema, document, own, { maxErrors });
    if (beyond.length > 0) return beyond;
    const faults = validate(schema, document, specified, { maxErrors, hideSuggestions: true });
    // "Did you mean …?" would tell the schema to whoever guesses.
    if (!introspection || faults.length === 0 || faults.length > SUGGESTED_MAX) return faults;
    return validate(schema, document, specified, { maxErrors });
  }
}

/** GraphQL over HTTP: status 400 where a client accepts `application/graphql-response+json`, else 200. */
function asRefusal(error: GraphQLError, code: string): GraphQLError {
  Object.assign(error.extensions, { code, http: { spec: true, status: 400 } });
  return error;
}

function checkLength(source: string): void {
  if (source.length <= DOCUMENT_LENGTH_MAX) return;
  const message = `the operation has more than ${DOCUMENT_LENGTH_MAX} characters; data belongs in variables`;
  throw asRefusal(new GraphQLError(message), 'GRAPHQL_PARSE_FAILED');
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

function repeatLimit(context: ValidationContext): ASTVisitor {
  return {
    SelectionSet: ({ selections }) => {
      const times = new Map<string, number>();
      for (const selection of selections) {
        if (selection.kind === Kind.INLINE_FRAGMENT) continue;
        const name =
          selection.kind === Kind.FIELD ? (selection.alias ?? selection.name).value : `...${selection.name.value}`;
        const count = (times.get(name) ?? 0) + 1;
        times.set(name, count);
        if (count === REPEATS_MAX + 1) refuse(context, `selections of ${name} in one place`, REPEATS_MAX);
      }
    },
  };
}

const DEPTH: SelectionMeasure = {
  field: (_field, below) => below + 1,
  join: (values) => Math.max(0, ...values),
};

function depthLimit(context: ValidationContext): ASTVisitor {
  return {
    Document: (document) => {
      if (Math.max(0, ...foldSelections(document, DEPTH)) > DEPTH_MAX) refuse(context, 'levels', DEPTH_MAX);
    },
  };
}

/** Fields of the schema's own types that are lists. */
const SCHEMA_LISTS = [
  'types',
  'directives',
  'fields',
  'args',
  'inputFields',
  'interfaces',
  'possibleTypes',
  'enumValues',
];

/** How many of them are selected. Other fields may have the same names, and are counted too where a document asks for the schema. */
const SCHEMA_LISTS_SELECTED: SelectionMeasure = {
  field: ({ name }, below) => below + (SCHEMA_LISTS.includes(name.value) ? 1 : 0),
  join: (values) => values.reduce((sum, value) => sum + value, 0),
};

/** The answer to an introspection of lists in lists, many times over, is long whatever the depth. */
function schemaListLimit(context: ValidationContext): ASTVisitor {
  let isSchemaAsked = false;
  return {
    Field: ({ name }) => {
      isSchemaAsked ||= name.value === '__schema' || name.value === '__type';
    },
    Document: {
      leave: (document) => {
        if (!isSchemaAsked) return;
        const most = Math.max(0, ...foldSelections(document, SCHEMA_LISTS_SELECTED));
        if (most > SCHEMA_LISTS_MAX) refuse(context, 'lists of the schema', SCHEMA_LISTS_MAX);
      },
    },
  };
}
