import { OperationTypeNode } from 'graphql';
import { isAsyncIterable, type Plugin, processRegularResult } from 'graphql-yoga';
import type { AnswerJson } from '../schema/answer-text.ts';
import type { GraphQLContext } from '../schema/builder.ts';
import { chooseAnswerType, misfit } from './answer-types.ts';
import { nextPiece, type Turning } from './answer-writing.ts';
import type { Completed, Operations } from './operations.ts';

interface Options<Given> {
  operations: Operations;
  contextOf: (given: Given) => GraphQLContext;
}

/** An answer of Yoga's that is under way. */
interface Answer {
  load: Turning;
  isSubscription: boolean;
  /** Whether it is one text of its own, which may be written in pieces. */
  isText: boolean;
  pieces?: Iterable<string>;
}

/** A result that Yoga writes by a function of its own. */
interface WrittenResult extends Completed {
  stringify(): string;
}

/**
 * Has Yoga do all that is HTTP, and nothing of what is GraphQL. An answer that comes in pieces takes the place of the body that Yoga made of it; an
 * event is a string in any case.
 */
export function useOperations<Given extends object>({ operations, contextOf }: Options<Given>): Plugin<object, Given> {
  const answers = new WeakMap<Request, Answer>();

  function writtenTo(answer: Answer, { json, ...result }: Completed): WrittenResult {
    const stringify = () => {
      if (typeof json === 'string' || !answer.isText) return joined(json);
      answer.pieces = json;
      return '';
    };
    return { ...result, json, stringify };
  }

  async function* eventsTo(answer: Answer, events: AsyncIterable<Completed>): AsyncIterable<WrittenResult> {
    for await (const event of events) yield writtenTo(answer, event);
  }

  return {
    onParams({ params, setParamsHandler }) {
      // Before Yoga misses a query where there is only its hash.
      operations.admit(params);
      setParamsHandler(async ({ params, request, context: given }) => {
        const context = contextOf(given);
        const operation = operations.read(params, context);
        const isSubscription = 'kind' in operation && operation.kind === OperationTypeNode.SUBSCRIPTION;
        const answer = { load: context.load, isSubscription, isText: false };
        answers.set(request, answer);
        if (!('kind' in operation)) return writtenTo(answer, operations.complete({ errors: operation }, context));
        const fault = misfit(request, operation.kind);
        if (fault) return writtenTo(answer, operations.complete({ errors: [fault] }, context));
        if (isSubscription) context.answer.limitToEvents();
        const result = await operations.run(operation);
        return isAsyncIterable(result) ? eventsTo(answer, result) : writtenTo(answer, result);
      });
    },
    onResultProcess(choice) {
      const answer = answers.get(choice.request);
      let { resultProcessor } = choice;
      const setResultProcessor: typeof choice.setResultProcessor = (processor, type) => {
        resultProcessor = processor;
        choice.setResultProcessor(processor, type);
      };
      chooseAnswerType({ ...choice, setResultProcessor }, answer?.isSubscription === true);
      if (answer) answer.isText = resultProcessor === processRegularResult;
    },
    onResponse({ request, response, setResponse, fetchAPI }) {
      const answer = answers.get(request);
      if (!answer?.pieces) return;
      const { status, statusText, headers } = response;
      headers.delete('content-length');
      setResponse(new fetchAPI.Response(bodyOf(answer.pieces, answer.load), { status, statusText, headers }));
    },
  };
}

function joined(json: AnswerJson): string {
  return typeof json === 'string' ? json : [...json].join('');
}

/** Each piece is made when it is asked for. */
function bodyOf(pieces: Iterable<string>, load: Turning): ReadableStream<Uint8Array> {
  const iterator = pieces[Symbol.iterator]();
  return new ReadableStream<Uint8Array>({
    async pull(controller) {
      const piece = await nextPiece(load, iterator);
      if (piece === undefined) controller.close();
      else controller.enqueue(Buffer.from(piece));
    },
  });
}
