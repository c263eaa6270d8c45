/** Parts that people type, and so do those who guess: neighbours in alphabets and on keyboards, and the words of placeholders. */
const GUESSED = [
  ...['abcdefghijklmnopqrstuvwxyz', '01234567890', '1234567890', 'qwertyuiop', 'asdfghjkl', 'zxcvbnm', 'qwertzuiop'],
  ...['changeme', 'change', 'password', 'passwd', 'secret', 'example', 'placeholder', 'default', 'insecure', 'test'],
  ...['demo', 'admin', 'root', 'user', 'letmein', 'welcome', 'foretell', 'token', 'apikey', 'access', 'private'],
  ...['production', 'development', 'staging', 'please', 'replace', 'your', 'this', 'here', 'long', 'random', 'foobar'],
];

/** A part is found again from this length on: shorter ones occur in random keys. */
const PART_LENGTH_MIN = 3;

/** What people put between words. */
const SEPARATORS = /[-_.:/+ ]/g;

/** A random key of 24 decimal digits has some 70 by the estimate below, 50 at the very least. */
const BITS_MIN = 45;

/**
 * Whether a key can be guessed: it is made of few different characters, of repetitions, of sequences, of words that placeholders have, or of its
 * owner's name. The estimate counts each part that is known, or that the key has had before, as a single character.
 */
export function isWeakKey(key: string, owner: string): boolean {
  const text = key.toLowerCase().replace(SEPARATORS, '');
  const known = [...GUESSED, owner.toLowerCase()].flatMap((part) => [part, reversed(part)]).join('\n');
  let characters = 0;
  for (let at = 0; at < text.length; characters++) at += partLength(text, at, known);
  return characters * Math.log2(new Set(key).size) < BITS_MIN;
}

/** How many characters from here on are a part that is known or came before, which may overlap with itself: `aaaa`. At least 1. */
function partLength(text: string, at: number, known: string): number {
  let length = PART_LENGTH_MIN;
  const isKnown = () => {
    const part = text.slice(at, at + length);
    return known.includes(part) || text.slice(0, at + length - 1).includes(part);
  };
  if (at + length > text.length || !isKnown()) return 1;
  while (at + length < text.length) {
    length += 1;
    if (!isKnown()) return length - 1;
  }
  return length;
}

function reversed(text: string): string {
  return [...text].reverse().join('');
}
