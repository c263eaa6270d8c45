import { renderGraphiQL } from '@graphql-yoga/render-graphiql';
import { graphiqlTabs } from './examples.ts';
import type { Api } from './schema.ts';

/** What GraphiQL opens with: a tab for each example, the first of them filled in. */
export function graphiqlOptions({ models }: Api, page: URL) {
  const tabs = graphiqlTabs(models).map(({ query, variables }) => ({
    query,
    variables: JSON.stringify(variables, null, 2),
  }));
  // GraphiQL takes the variables of the tab it opens with from here alone, and adds an empty tab on a reload without them.
  // Once something is edited, or where a link says it, the address has a query of its own.
  const opened = page.searchParams.has('query') ? {} : tabs[0];
  return { title: 'Foretell', defaultTabs: tabs, subscriptionsProtocol: 'SSE' as const, ...opened };
}

/** Yoga's page. GraphiQL leaves transforms on its tabs that jump at the first press, so that the first click on each would miss. */
export const renderPage: typeof renderGraphiQL = (options) =>
  renderGraphiQL(options).replace('</style>', '.graphiql-tab { transform: none !important; }</style>');
