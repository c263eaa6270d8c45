import { setImmediate } from 'node:timers/promises';
import type { ExecutionResult } from 'graphql';
import { isAsyncIterable, type Plugin } from 'graphql-yoga';
import { type AnswerJson, withDistinctErrors } from './answer-text.ts';
import type { GraphQLContext } from './builder.ts';

/** A result that Yoga writes by a function of its own. */
interface WrittenResult extends ExecutionResult {
  stringify?: (shown: ExecutionResult) => string;
}

/**
 * Has Yoga write answers, and the events of a stream, as `AnswerText` does. An answer that comes in pieces takes the place of the body that Yoga made
 * of it; an event is a string in any case.
 */
export function useAnswerText(): Plugin<GraphQLContext> {
  const waiting = new WeakMap<Request, Iterable<string>>();
  return {
    onExecute: ({ args }) => ({
      onExecuteDone({ result, setResult }) {
        if (isAsyncIterable(result)) return;
        const { answer, request } = args.contextValue;
        const stringify = (shown: ExecutionResult) => {
          const json = answer.json(shown);
          if (typeof json === 'string') return json;
          waiting.set(request, json);
          return '';
        };
        setResult(Object.assign(withDistinctErrors(result), { stringify }) satisfies WrittenResult);
      },
    }),
    onSubscribe({ args }) {
      const { answer } = args.contextValue;
      answer.limitToEvents();
      const stringify = (shown: ExecutionResult) => joined(answer.json(shown));
      return {
        onSubscribeResult: () => ({
          onNext({ result, setResult }) {
            if (isAsyncIterable(result)) return;
            setResult(Object.assign(withDistinctErrors(result), { stringify }) satisfies WrittenResult);
          },
        }),
      };
    },
    onResponse({ request, response, setResponse, fetchAPI }) {
      const pieces = waiting.get(request);
      if (!pieces) return;
      const { status, statusText, headers } = response;
      headers.delete('content-length');
      setResponse(new fetchAPI.Response(bodyOf(pieces), { status, statusText, headers }));
    },
  };
}

function joined(json: AnswerJson): string {
  return typeof json === 'string' ? json : [...json].join('');
}

/** Each piece is made when it is asked for, and others get their turn before it. */
function bodyOf(pieces: Iterable<string>): ReadableStream<Uint8Array> {
  const iterator = pieces[Symbol.iterator]();
  return new ReadableStream<Uint8Array>({
    async pull(controller) {
      await setImmediate();
      const { value, done } = iterator.next();
      if (done) controller.close();
      else controller.enqueue(Buffer.from(value));
    },
  });
}
