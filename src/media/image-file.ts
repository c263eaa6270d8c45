import { MediaFault } from './media.ts';

/** Passes over a JPEG; encoders make 10 or so, and each takes some 30 ms of a picture of 50 million pixels. */
const SCANS_MAX = 32;

const PNG_SIGNATURE = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
/** Lengths of what a chunk of PNG has around its data: length and type before it, a sum behind. */
const CHUNK_HEAD = 8;
const CHUNK_SUM = 4;
/** Chunks of a PNG, and segments of a JPEG with what fills the room between them: 64 MiB in chunks of 8 KiB are 8,192. */
const PARTS_MAX = 50_000;

/** Comments. Unpacked they may be a thousand times as large, and the decoder unpacks them all. */
const TEXT_CHUNKS = new Set(['tEXt', 'zTXt', 'iTXt']);

/**
 * The file as it may be given to a decoder: a PNG without its comments. Throws a `MediaFault` for a JPEG that is to be decoded in too many
 * scans, and for a file of very many parts. What is in neither order is the decoder's to refuse.
 */
export function decodableFile(file: Uint8Array): Uint8Array {
  const bytes = Buffer.from(file.buffer, file.byteOffset, file.byteLength);
  if (bytes.subarray(0, PNG_SIGNATURE.length).equals(PNG_SIGNATURE)) return withoutTexts(bytes);
  if (bytes[0] === 0xff && bytes[1] === 0xd8) checkScans(bytes);
  return file;
}

function withoutTexts(png: Buffer): Uint8Array {
  const kept: Buffer[] = [];
  let from = 0;
  let chunks = 0;
  for (let at = PNG_SIGNATURE.length; at + CHUNK_HEAD <= png.length; ) {
    chunks += 1;
    if (chunks > PARTS_MAX) throw new MediaFault(`expected a PNG of at most ${PARTS_MAX} chunks`);
    const end = at + CHUNK_HEAD + png.readUInt32BE(at) + CHUNK_SUM;
    if (TEXT_CHUNKS.has(png.toString('latin1', at + 4, at + CHUNK_HEAD))) {
      kept.push(png.subarray(from, at));
      from = end;
    }
    at = end;
  }
  return kept.length === 0 ? png : Buffer.concat([...kept, png.subarray(from)]);
}

const MARKER = 0xff;
const START_OF_SCAN = 0xda;
const END_OF_IMAGE = 0xd9;

function checkScans(jpeg: Buffer): void {
  let scans = 0;
  let segments = 0;
  for (let at = 2; at + 4 <= jpeg.length; ) {
    segments += 1;
    if (segments > PARTS_MAX) throw new MediaFault(`expected a JPEG of at most ${PARTS_MAX} segments`);
    if (jpeg[at] !== MARKER) return;
    const marker = jpeg[at + 1];
    if (marker === END_OF_IMAGE) return;
    // A marker may begin with several of these.
    if (marker === MARKER) {
      at += 1;
      continue;
    }
    at += 2 + jpeg.readUInt16BE(at + 2);
    if (marker !== START_OF_SCAN) continue;
    scans += 1;
    if (scans > SCANS_MAX) throw new MediaFault(`expected a JPEG of at most ${SCANS_MAX} scans`);
    at = nextMarker(jpeg, at);
  }
}

/** Where a scan's data ends: in it a 0 or the number of a restart follows each byte that a marker begins with. */
function nextMarker(jpeg: Buffer, start: number): number {
  for (let at = jpeg.indexOf(MARKER, start); at >= 0; at = jpeg.indexOf(MARKER, at)) {
    for (const near = at + NEAR_BYTES; at < near; at += 1) {
      if (jpeg[at] !== MARKER) continue;
      const next = jpeg[at + 1] ?? END_OF_IMAGE;
      const isData = next === 0 || (next >= 0xd0 && next <= 0xd7) || next === MARKER;
      if (!isData) return at;
    }
  }
  return jpeg.length;
}

/** Bytes that are looked at one by one after each that was found natively: where every other byte is one, that is far quicker. */
const NEAR_BYTES = 64;
