import type { Plugin } from 'graphql-yoga';
import type { GraphQLContext } from '../schema/builder.ts';
import { countJson } from './json-memory.ts';

type Given = Pick<GraphQLContext, 'load'>;

/** Has Yoga count what a body of JSON is about to take before it is parsed. */
export function useCountedJson(): Plugin<object, Given> {
  return {
    onRequestParse({ request, requestParser: parse, setRequestParser, serverContext, fetchAPI }) {
      if (request.method !== 'POST' || !parse) return;
      setRequestParser(async (limited) => {
        const body = await limited.arrayBuffer();
        await serverContext.load.turn(body.byteLength);
        countJson(new Uint8Array(body), serverContext.load.take);
        const { url, method, headers } = limited;
        return parse(new fetchAPI.Request(url, { method, headers, body }));
      });
    },
  };
}
