import { createHash } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { promisify } from 'node:util';
import { brotliCompress, constants, gzip } from 'node:zlib';

/** More takes seconds for GraphiQL's 8 MB and saves 5 %. */
const BROTLI = { params: { [constants.BROTLI_PARAM_QUALITY]: 5 } };

const CODINGS = {
  br: (bytes: Buffer): Promise<Buffer> => promisify(brotliCompress)(bytes, BROTLI),
  gzip: (bytes: Buffer): Promise<Buffer> => promisify(gzip)(bytes),
  identity: async (bytes: Buffer) => bytes,
};

type Coding = keyof typeof CODINGS;

/** A text that is served to browsers: compressed once for each coding that is asked for, and checked by its ETag. */
export class CompressedText {
  readonly #bytes: Buffer;
  readonly #headers: Record<string, string>;
  readonly #hash: string;
  readonly #encoded = new Map<Coding, Promise<Buffer>>();

  constructor(text: string, headers: Record<string, string>) {
    this.#bytes = Buffer.from(text);
    this.#headers = headers;
    this.#hash = createHash('sha256').update(this.#bytes).digest('base64url').slice(0, 22);
  }

  async send({ headers }: IncomingMessage, response: ServerResponse): Promise<void> {
    const coding = codingFor(headers['accept-encoding']);
    const etag = `"${this.#hash}-${coding}"`;
    for (const [name, value] of Object.entries(this.#headers)) response.setHeader(name, value);
    response.appendHeader('vary', 'Accept-Encoding');
    response.setHeader('etag', etag);
    // Kept, and asked about each time: another version, or other models, may be served.
    response.setHeader('cache-control', 'no-cache');
    if (isKnown(headers['if-none-match'], etag)) {
      response.writeHead(304).end();
      return;
    }
    const bytes = await this.#as(coding);
    if (coding !== 'identity') response.setHeader('content-encoding', coding);
    response.writeHead(200, { 'content-length': bytes.length }).end(bytes);
  }

  #as(coding: Coding): Promise<Buffer> {
    const encoded = this.#encoded.get(coding) ?? CODINGS[coding](this.#bytes);
    this.#encoded.set(coding, encoded);
    return encoded;
  }
}

/** The best one that is accepted. */
function codingFor(accepted: string | string[] | undefined): Coding {
  const said = new Map(
    String(accepted ?? '')
      .toLowerCase()
      .split(',')
      .map((part) => {
        const [name = '', ...params] = part.split(';').map((each) => each.trim());
        return [name, !params.some((param) => /^q=0(\.0*)?$/.test(param))] as const;
      }),
  );
  const isAccepted = (coding: Coding) => said.get(coding) ?? said.get('*') ?? false;
  return isAccepted('br') ? 'br' : isAccepted('gzip') ? 'gzip' : 'identity';
}

function isKnown(tags: string | undefined, etag: string): boolean {
  const known = (tags ?? '').split(',').map((tag) => tag.trim().replace(/^W\//, ''));
  return known.includes(etag) || known.includes('*');
}
