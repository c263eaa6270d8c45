/**
 * Asks in one call what is asked within one turn of the event loop: under load a turn handles many requests, and a call of its own for each
 * costs more than the answer. The last of them need not wait: a turn ends at once where nothing else is to be done.
 */
export function gathering<Question, Answer>(options: {
  /** Answers in the order asked; an error among them is that question's alone. */
  ask: (questions: readonly Question[]) => Promise<readonly (Answer | Error)[]>;
  /** The most of one call. */
  max: number;
}): (question: Question) => Promise<Answer> {
  const { ask, max } = options;
  let waiting: Waiting<Question, Answer>[] = [];

  function send(): void {
    const asked = waiting;
    waiting = [];
    for (let i = 0; i < asked.length; i += max) void settle(asked.slice(i, i + max));
  }

  async function settle(asked: readonly Waiting<Question, Answer>[]): Promise<void> {
    try {
      const answers = await ask(asked.map(({ question }) => question));
      for (const [i, { resolve, reject }] of asked.entries()) {
        const answer = answers[i];
        if (answer instanceof Error) reject(answer);
        else resolve(answer as Answer);
      }
    } catch (error) {
      for (const { reject } of asked) reject(error);
    }
  }

  return (question) =>
    new Promise((resolve, reject) => {
      if (waiting.length === 0) setImmediate(send);
      waiting.push({ question, resolve, reject });
    });
}

interface Waiting<Question, Answer> {
  question: Question;
  resolve: (answer: Answer) => void;
  reject: (error: unknown) => void;
}
