import type { IncomingMessage, ServerResponse } from 'node:http';
import { forgetOldest } from '../../async/oldest-first.ts';
import type { Log } from '../../process/log.ts';
import { graphiqlFiles, graphiqlPage } from '../graphql/graphiql/graphiql.ts';
import { GRAPHQL_PATH } from '../graphql/request/server.ts';
import type { ApiSchema } from '../graphql/schema/schema.ts';
import { CompressedText } from './compressed-text.ts';
import type { Route } from './http-server.ts';

/** Pages that are kept compressed: one for each way in which the tabs are filled. */
const PAGES_MAX = 4;

/** Scripts are this server's files alone. The editor makes styles as it goes, and its workers of texts in its script. */
const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self' 'unsafe-inline'",
  "img-src 'self' data:",
  "font-src 'self' data:",
  "connect-src 'self'",
  'worker-src blob:',
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ');

const HEADERS = {
  'content-security-policy': POLICY,
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
  'referrer-policy': 'no-referrer',
};

export interface Graphiql {
  /** Whether a request, to the address of the API, is a browser's that opens the page. */
  isAskedFor(request: IncomingMessage): boolean;
  sendPage(request: IncomingMessage, response: ServerResponse): void;
  /** What the page loads. */
  files: Route;
}

/** GraphiQL, which executes nothing by itself and needs no key. */
export function createGraphiql(api: () => ApiSchema, log: Log): Graphiql {
  const pages = new Map<string, CompressedText>();
  let files: Promise<Map<string, CompressedText>> | undefined;

  function pageOf(request: IncomingMessage): CompressedText {
    const { type, text } = graphiqlPage(api(), new URL(request.url ?? '', 'http://localhost'));
    const page = pages.get(text) ?? new CompressedText(text, { ...HEADERS, 'content-type': type });
    pages.set(text, page);
    forgetOldest(pages, PAGES_MAX);
    return page;
  }

  async function readFiles(): Promise<Map<string, CompressedText>> {
    const texts = Object.entries(await graphiqlFiles());
    return new Map(
      texts.map(([name, { type, text }]) => [
        `${GRAPHQL_PATH}/${name}`,
        new CompressedText(text, { ...HEADERS, 'content-type': type }),
      ]),
    );
  }

  async function send(text: Promise<CompressedText>, request: IncomingMessage, response: ServerResponse) {
    try {
      await (await text).send(request, response);
    } catch (err) {
      log.error({ err }, 'GraphiQL not sent');
      response.writeHead(500).end();
    }
  }

  return {
    isAskedFor: (request) => isRead(request) && /text\/html/.test(request.headers.accept ?? ''),
    sendPage: (request, response) => void send(Promise.resolve(pageOf(request)), request, response),
    files(request, response, path) {
      if (!isRead(request) || !FILES.has(path)) return false;
      files ??= readFiles();
      void send(
        files.then((all) => requireFile(all, path)),
        request,
        response,
      );
      return true;
    },
  };
}

const FILES = new Set(['graphiql.js', 'graphiql.css'].map((name) => `${GRAPHQL_PATH}/${name}`));

function requireFile(files: ReadonlyMap<string, CompressedText>, path: string): CompressedText {
  const file = files.get(path);
  if (!file) throw new Error(`expected a file of GraphiQL's at ${path}`);
  return file;
}

function isRead({ method }: IncomingMessage): boolean {
  return method === 'GET' || method === 'HEAD';
}
