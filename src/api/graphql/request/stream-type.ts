/** How a client may have a subscription's events: as server-sent events, or by Apollo's multipart protocol. */
export type StreamType = 'text/event-stream' | 'multipart/mixed';

interface MediaRange {
  type: string;
  params: readonly string[];
}

/** How a subscription is answered to this `Accept`; `undefined` where it takes no stream. What it names counts before `*` does. */
export function streamTypeOf(accept: string | null): StreamType | undefined {
  const ranges = (accept || '*/*').toLowerCase().split(',').map(mediaRangeOf).filter(isAcceptable);
  const accepts = (...types: string[]) => ranges.some(({ type }) => types.includes(type));
  if (accepts('text/event-stream')) return 'text/event-stream';
  if (ranges.some(isSubscriptionSpec)) return 'multipart/mixed';
  return accepts('text/*', '*/*') ? 'text/event-stream' : undefined;
}

function mediaRangeOf(text: string): MediaRange {
  const [type = '', ...params] = text.split(';').map((part) => part.trim());
  return { type, params: params.map((param) => param.replace(/\s*=\s*"?/, '=').replace(/"$/, '')) };
}

/** Not refused by `q=0`, and in UTF-8, which is all that is sent. */
function isAcceptable({ params }: MediaRange): boolean {
  return !params.some(
    (param) => /^q=0(\.0*)?$/.test(param) || (param.startsWith('charset=') && param !== 'charset=utf-8'),
  );
}

/** Without this parameter it asks for the parts of one answer, which no subscription has. */
function isSubscriptionSpec({ type, params }: MediaRange): boolean {
  return type === 'multipart/mixed' && params.some((param) => /^subscriptionspec=1(\.|$)/.test(param));
}
