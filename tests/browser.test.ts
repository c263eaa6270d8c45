import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { type Browser, chromium, type Page } from 'playwright-core';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { requireBinary } from './support/binaries.ts';
import { openService, type Service } from './support/service.ts';

/** A browser that talks to nobody but the page's own servers. */
const ARGS = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking'];
ARGS.push('--disable-component-update', '--disable-sync');

let browser: Browser;
let service: Service;
let listed: Awaited<ReturnType<typeof serveExample>>;
let unlisted: Awaited<ReturnType<typeof serveExample>>;
const closers: (() => unknown)[] = [];

beforeAll(async () => {
  browser = await chromium.launch({ executablePath: await requireBinary('chromium', 'chromium'), args: ARGS });
  closers.push(() => browser.close());
  [listed, unlisted] = await Promise.all([serveExample(), serveExample()]);
  closers.push(listed.close, unlisted.close);
  const servers = { brokerUrl: 'memory:', storeUrl: 'memory:' };
  service = await openService({ servers, corsOrigins: [listed.origin] });
  closers.push(() => service.close());
});
afterAll(async () => {
  for (const close of closers.toReversed()) await close();
});

test("a page of a listed origin submits, and is told over the browser's own EventSource", async () => {
  const page = await openPage(pageUrl(listed.origin));
  await page.click('#submit');
  const label = page.getByText('"label":"setosa"');
  await label.waitFor();
  expect(await page.locator('#log').textContent()).toMatch(
    /^task [\w-]+\n\{"taskCompleted":\{"id":"[\w-]+","state":"SUCCEEDED",.+\}\n$/,
  );
});

test('a page of an origin that is not listed is refused by the browser', async () => {
  const page = await openPage(pageUrl(unlisted.origin));
  const refused = page.waitForEvent('requestfailed', (request) => request.url() === service.client.url);
  await page.click('#submit');
  expect((await refused).method()).toBe('POST');
  await page.getByText('does its CORS_ORIGINS list').waitFor();
  expect(await page.locator('#log').textContent()).not.toMatch(/^task/);
});

test("GraphiQL's examples run as they stand, with nothing but the id pasted in, and without another host", async () => {
  const page = await openPage();
  const complaints = complaintsOf(page);
  const hosts = new Set<string>();
  page.on('request', (request) => hosts.add(new URL(request.url().replace(/^blob:/, '')).host));
  await page.goto(service.client.url);
  const graphiql = graphiqlOf(page);
  expect(await graphiql.tabs()).toEqual(['Predict', 'Submit', 'Completed', 'Result']);

  const done = { state: 'SUCCEEDED', prediction: { label: 'setosa' } };
  expect(await graphiql.run()).toMatchObject({ data: { submitPrediction: done } });
  await graphiql.open('Submit');
  const submitted = await graphiql.run();
  expect(submitted).toEqual({ data: { submitPrediction: { id: expect.any(String), state: 'QUEUED' } } });
  const id = submitted.data?.['submitPrediction']?.['id'];
  await graphiql.open('Completed');
  await graphiql.pasteId(id);
  expect(await graphiql.run()).toMatchObject({ data: { taskCompleted: done } });
  await graphiql.open('Result');
  await graphiql.pasteId(id);
  expect(await graphiql.run()).toMatchObject({ data: { result: { ...done, attempts: 1 } } });
  expect([...hosts]).toEqual([new URL(service.client.url).host]);
  // Its policy keeps out nothing of its own, and every script that stands in the page.
  expect(complaints).toEqual([]);
  await page.evaluate(() => {
    const script = document.createElement('script');
    script.textContent = 'document.title = "injected"';
    document.body.append(script);
  });
  await expect.poll(() => complaints.join('\n')).toMatch(/Content Security Policy/);
  expect(await page.title()).toBe('Foretell');
});

test('GraphiQL opens with the same tabs when the page is loaded again', async () => {
  const page = await openPage(service.client.url);
  expect(await graphiqlOf(page).tabs()).toHaveLength(4);
  await page.reload();
  expect(await graphiqlOf(page).tabs()).toHaveLength(4);
  expect(await graphiqlOf(page).run()).toMatchObject({ data: { submitPrediction: { state: 'SUCCEEDED' } } });
});

/** A page with a storage of its own, closed with the test. */
async function openPage(url?: string): Promise<Page> {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 } });
  onTestFinished(() => context.close());
  const page = await context.newPage();
  if (url !== undefined) await page.goto(url);
  return page;
}

/** Errors of the page's own, and what its policy has kept out. */
function complaintsOf(page: Page): string[] {
  const complaints: string[] = [];
  page.on('pageerror', ({ message }) => complaints.push(message));
  page.on('console', (message) => {
    if (message.type() === 'error' || /Content Security Policy/.test(message.text())) complaints.push(message.text());
  });
  return complaints;
}

function pageUrl(origin: string): string {
  return `${origin}/browser.html?${new URLSearchParams({ url: service.client.url })}`;
}

/** What a newcomer does in GraphiQL. */
function graphiqlOf(page: Page) {
  return {
    async tabs(): Promise<(string | null)[]> {
      await page.locator('.graphiql-execute-button').waitFor();
      return page.locator('.graphiql-tab-button').allTextContents();
    },
    async open(tab: string): Promise<void> {
      await page.getByRole('button', { name: tab, exact: true }).click();
      // GraphiQL writes the operation into the address when it has taken note of it; until then it would run the one before.
      await page.waitForFunction(
        (name) => new RegExp(`\\b${name}\\(`).test(new URLSearchParams(location.search).get('query') ?? ''),
        tab,
      );
    },
    async pasteId(id: unknown): Promise<void> {
      // One word, which a double click selects.
      await page.locator('.graphiql-editor-tool').getByText('PASTE_THE_ID_HERE').dblclick();
      await page.keyboard.insertText(String(id));
    },
    /** Presses the button, and answers with what is shown. */
    async run(): Promise<{ data?: Record<string, Record<string, unknown>> }> {
      await page.locator('.graphiql-execute-button').click();
      const shown = page.locator('.graphiql-response .view-lines');
      await shown.getByText('}').last().waitFor();
      // Until the stream has completed the button says "Stop".
      await page.getByRole('button', { name: /^Execute query/ }).waitFor();
      const lines = await shown.locator('.view-line').allTextContents();
      const text = lines.join('').replaceAll('\u00a0', ' ');
      return JSON.parse(text);
    },
  };
}

/** The example's page as another server would serve it: another port is another origin. */
async function serveExample() {
  const page = readFileSync('examples/browser.html');
  const server = createServer((_request, response) => {
    response.writeHead(200, { 'content-type': 'text/html' }).end(page);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error(`expected a TCP address, got ${address}`);
  return { origin: `http://127.0.0.1:${address.port}`, close: () => server.close() };
}
