import type { ApiSchema } from '../schema/schema.ts';
import { graphiqlTabs } from './examples.ts';

/** A text that a browser loads for GraphiQL. */
export interface PageText {
  type: string;
  text: string;
}

/** Where the package's script starts GraphiQL with options that stand in it, and what starts it with those of our page. */
const START = 'YogaGraphiQL.renderYogaGraphiQL(';
const START_WITH_OPTIONS = `${START}
  document.querySelector('#root'),
  JSON.parse(document.querySelector('#options').textContent),
);
`;

/** GraphiQL leaves transforms on its tabs that jump at the first press, so that the first click on each would miss. */
const MORE_CSS = '\n.graphiql-tab { transform: none !important; }\n';

/** The page. It has no script of its own, so that its policy can refuse all that stands in a page; its options are data. */
export function graphiqlPage(api: ApiSchema, url: URL): PageText {
  // No text of a model's ends the element.
  const options = JSON.stringify(graphiqlOptions(api, url)).replaceAll('<', '\\u003c');
  const text = `<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8" />
    <title>Foretell</title>
    <link rel="icon" href="data:," />
    <link rel="stylesheet" href="graphql/graphiql.css" />
  </head>
  <body id="body" class="no-focus-outline">
    <noscript>You need to enable JavaScript to run this app.</noscript>
    <div id="root"></div>
    <script type="application/json" id="options">${options}</script>
    <script src="graphql/graphiql.js"></script>
  </body>
</html>
`;
  return { type: 'text/html; charset=utf-8', text };
}

/** What the page loads, by the end of its address: 9 MB, read from the package when a browser first asks for them. */
export async function graphiqlFiles(): Promise<Record<'graphiql.css' | 'graphiql.js', PageText>> {
  const { renderGraphiQL } = await import('@graphql-yoga/render-graphiql');
  const page = renderGraphiQL();
  const css = between(page, '<style>', page.indexOf('</style>'));
  const js = between(page, '<script>', page.lastIndexOf('</script>'));
  return {
    'graphiql.css': { type: 'text/css; charset=utf-8', text: css + MORE_CSS },
    'graphiql.js': {
      type: 'text/javascript; charset=utf-8',
      text: js.slice(0, js.lastIndexOf(START)) + START_WITH_OPTIONS,
    },
  };
}

function between(page: string, tag: string, end: number): string {
  return page.slice(page.indexOf(tag) + tag.length, end);
}

/** What GraphiQL opens with: a tab for each example, the first of them filled in. */
function graphiqlOptions({ models }: ApiSchema, page: URL) {
  const tabs = graphiqlTabs(models).map(({ query, variables }) => ({
    query,
    variables: JSON.stringify(variables, null, 2),
  }));
  // GraphiQL takes the variables of the tab it opens with from here alone, and adds an empty tab on a reload without them.
  // Once something is edited, or where a link says it, the address has a query of its own.
  const opened = page.searchParams.has('query') ? {} : tabs[0];
  return { title: 'Foretell', defaultTabs: tabs, subscriptionsProtocol: 'SSE', ...opened };
}
