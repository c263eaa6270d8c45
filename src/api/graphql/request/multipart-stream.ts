import { type FetchAPI, isAsyncIterable, type Plugin, processRegularResult } from 'graphql-yoga';

type ResultProcessor = Parameters<Parameters<NonNullable<Plugin['onResultProcess']>>[0]['setResultProcessor']>[0];
type Result = Parameters<ResultProcessor>[0];

export const MULTIPART_STREAM = 'multipart/mixed;boundary="graphql";subscriptionSpec="1.0"';

/** As often as a stream of server-sent events is pinged. */
const HEARTBEAT_MS = 12_000;

/** A client knows the end of a part by the next boundary, which is therefore sent with the part before it. */
const BOUNDARY = '\r\n--graphql';
const END = '--\r\n';
const HEARTBEAT = partOf('{}');

/**
 * A subscription's events by Apollo's multipart protocol, which is what Apollo's clients ask for by default: a part of JSON each, with the
 * result as its `payload`; an empty object is a heartbeat.
 */
export const processMultipartStream: ResultProcessor = (results, fetchAPI) => {
  const iterator = iterableOf(results)[Symbol.asyncIterator]();
  const encoder = new fetchAPI.TextEncoder();
  let heartbeats: NodeJS.Timeout | undefined;
  const body = new fetchAPI.ReadableStream<Uint8Array>({
    start(controller) {
      controller.enqueue(encoder.encode(BOUNDARY + HEARTBEAT));
    },
    async pull(controller) {
      // From here on somebody reads, and is known to have gone once they do.
      heartbeats ??= setInterval(() => {
        if ((controller.desiredSize ?? 0) > 0) controller.enqueue(encoder.encode(HEARTBEAT));
      }, HEARTBEAT_MS);
      try {
        const next = await iterator.next();
        if (!next.done) {
          controller.enqueue(encoder.encode(partOf(`{"payload":${await textOf(next.value, fetchAPI)}}`)));
          return;
        }
        controller.enqueue(encoder.encode(END));
        controller.close();
      } catch (error) {
        controller.error(error);
      }
      clearInterval(heartbeats);
    },
    async cancel() {
      clearInterval(heartbeats);
      await iterator.return?.();
    },
  });
  return new fetchAPI.Response(body, { headers: { 'content-type': MULTIPART_STREAM, 'cache-control': 'no-cache' } });
};

function partOf(json: string): string {
  return `\r\ncontent-type: application/json\r\n\r\n${json}${BOUNDARY}`;
}

function iterableOf(results: Result): AsyncIterable<Result> {
  if (!isAsyncIterable(results)) throw new TypeError('expected a stream of results');
  return results;
}

async function textOf(result: Result, fetchAPI: FetchAPI): Promise<string> {
  return (await processRegularResult(result, fetchAPI, 'application/json')).text();
}
