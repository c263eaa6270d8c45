/** One event of a stream, as `text/event-stream` writes it. */
export interface ServerSentEvent {
  name: string;
  data: string;
}

/** Foretell pings every twelve seconds: a stream that is silent for so long has lost its server. */
const SILENCE_MS = 45_000;

/** The events of a stream, until it ends. A silent one is aborted with `silence`, and rejects as the aborted body does. */
export async function* eventsIn(
  body: ReadableStream<Uint8Array>,
  silence: AbortController,
): AsyncGenerator<ServerSentEvent, void> {
  let timer: NodeJS.Timeout | undefined;
  const listen = () => {
    clearTimeout(timer);
    timer = setTimeout(() => silence.abort(new Error(`silent for ${SILENCE_MS} ms`)), SILENCE_MS);
  };
  const decoder = new TextDecoder();
  let rest = '';
  try {
    listen();
    for await (const chunk of body) {
      listen();
      const blocks = (rest + decoder.decode(chunk, { stream: true })).split(/\r?\n\r?\n/);
      rest = blocks.pop() ?? '';
      for (const block of blocks) yield eventOf(block);
    }
  } finally {
    clearTimeout(timer);
  }
}

function eventOf(block: string): ServerSentEvent {
  const event = { name: '', data: '' };
  for (const line of block.split(/\r?\n/)) {
    const [, field, value = ''] = /^(event|data): ?(.*)$/s.exec(line) ?? [];
    if (field === 'event') event.name = value;
    if (field === 'data') event.data += value;
  }
  return event;
}
