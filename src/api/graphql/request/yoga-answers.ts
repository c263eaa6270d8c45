import type { ExecutionResult } from 'graphql';
import { isAsyncIterable, type Plugin } from 'graphql-yoga';
import { type AnswerJson, withDistinctErrors } from '../schema/answer-text.ts';
import type { GraphQLContext } from '../schema/builder.ts';
import { nextPiece } from './answer-writing.ts';

/** A result that Yoga writes by a function of its own. */
interface WrittenResult extends ExecutionResult {
  stringify?: (shown: ExecutionResult) => string;
}

/**
 * Has Yoga write answers, and the events of a stream, as `AnswerText` does. An answer that comes in pieces takes the place of the body that Yoga made
 * of it; an event is a string in any case.
 */
export function useAnswerText(): Plugin<GraphQLContext> {
  const waiting = new WeakMap<Request, { pieces: Iterable<string>; owner: string }>();
  return {
    onExecute: ({ args }) => ({
      onExecuteDone({ result, setResult }) {
        if (isAsyncIterable(result)) return;
        const { answer, request, owner } = args.contextValue;
        const stringify = (shown: ExecutionResult) => {
          const json = answer.json(shown);
          if (typeof json === 'string') return json;
          waiting.set(request, { pieces: json, owner });
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
      const answer = waiting.get(request);
      if (!answer) return;
      const { status, statusText, headers } = response;
      headers.delete('content-length');
      setResponse(new fetchAPI.Response(bodyOf(answer), { status, statusText, headers }));
    },
  };
}

function joined(json: AnswerJson): string {
  return typeof json === 'string' ? json : [...json].join('');
}

/** Each piece is made when it is asked for. */
function bodyOf({ pieces, owner }: { pieces: Iterable<string>; owner: string }): ReadableStream<Uint8Array> {
  const iterator = pieces[Symbol.iterator]();
  return new ReadableStream<Uint8Array>({
    async pull(controller) {
      const piece = await nextPiece(owner, iterator);
      if (piece === undefined) controller.close();
      else controller.enqueue(Buffer.from(piece));
    },
  });
}
