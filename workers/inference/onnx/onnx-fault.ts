import { dirname } from 'node:path';

/** A source file of ONNX Runtime and a line of it; with a folder, it is the start of what an assertion says. */
const SOURCE_LINE = /(?:[A-Za-z]:)?[\w./\\+-]*\.(?:h|hh|hpp|inl|cuh?|cc|cpp|cxx|c|mm):\d+:? ?/;

/** What is longer is cut off: a few sentences name a fault. */
const CHARS_MAX = 4_000;

/** ONNX Runtime's own prefix of a status: `[ONNXRuntimeError] : 1 : FAIL : `. */
const STATUS = /\[ONNXRuntimeError\] : \d+ : [A-Z_]+ : /g;

const FAILED_NODE = /Non-zero status code returned while running (\S+) node\. Name:'(.*?)' Status Message: /gs;

/** What it says of places on this machine, of weights that lie elsewhere. */
const PLACES = / ?(?:resolved path|allowed directory): "[^"]*"/g;

/** A part of a C++ type: no word of a sentence holds these signs only and comes before a name with its parameters. */
const TYPE_PART = /^[\w:*&<>,~]+$/;

/** More parts of a type than stand before any function's name. */
const TYPE_PARTS_MAX = 8;

/**
 * What ONNX Runtime says went wrong, as a client may read it: the node, its operator and the reason, without source lines, functions
 * and conditions of C++ and without this machine's directories. `file` is the path of the model's file.
 */
export function readableFault(message: string, file: string): string {
  let text = message
    .slice(0, CHARS_MAX)
    .replaceAll(STATUS, '')
    .replaceAll(FAILED_NODE, (_, op: string, name: string) => nodeText(op, name));
  text = text.replaceAll(`Load model from ${file} failed:`, '').replaceAll(`Load model ${file} failed. `, '');
  text = text.replaceAll(`${dirname(file)}/`, '').replaceAll(PLACES, '');
  // Each source line is cut out with what belongs to it; what is left gets shorter each time.
  for (let found = SOURCE_LINE.exec(text); found; found = SOURCE_LINE.exec(text)) {
    const before = text.slice(0, found.index);
    const isAssertion = /[/\\]/.test(found[0]);
    const after = text.slice(found.index + found[0].length);
    text = before + (isAssertion ? withoutAssertion(after) : withoutWord(after));
  }
  return text.replace(/\s+/g, ' ').trim();
}

function nodeText(op: string, name: string): string {
  return name === '' ? `${op} node: ` : `${op} node "${name}": `;
}

/** Without the signature of a function and the condition that did not hold, where something else says what was wrong. */
function withoutAssertion(text: string): string {
  const end = signatureEnd(text);
  const said = end === undefined ? withoutWord(text) : text.slice(end).trimStart();
  return said.replace(/^[^\n]{1,500}? was false\.\s*(?=\S)/, '');
}

/** The name of a function. */
function withoutWord(text: string): string {
  return text.replace(/^[\w:~<>]+ /, '');
}

/** Where a signature such as `static void a::B<int>::c(int, d&) const [with T = int]` ends that a text begins with. */
function signatureEnd(text: string): number | undefined {
  let position = 0;
  for (let part = 0; part <= TYPE_PARTS_MAX; part += 1) {
    const end = wordEnd(text, position);
    const word = text.slice(position, end);
    const parameters = word.search(/[\w>~=)]\(/);
    if (parameters > 0 && TYPE_PART.test(outside(word.slice(0, parameters + 1)))) return qualifiersEnd(text, end);
    if (!TYPE_PART.test(outside(word))) return undefined;
    position = end + 1;
  }
  return undefined;
}

/** Past ` const` and ` [with T = int]`. */
function qualifiersEnd(text: string, start: number): number {
  let end = start;
  while (/^ (?:const|noexcept|volatile|&&?)(?= |$)/.test(text.slice(end))) end = wordEnd(text, end + 1);
  return /^ \[(?:with )?\w+ = /.test(text.slice(end)) ? wordEnd(text, end + 1) : end;
}

/** The next space that stands in no brackets. */
function wordEnd(text: string, start: number): number {
  let depth = 0;
  for (let i = start; i < text.length; i += 1) {
    const sign = text[i] ?? '';
    if ('(<['.includes(sign)) depth += 1;
    else if (')>]'.includes(sign)) depth -= 1;
    else if (depth <= 0 && /\s/.test(sign)) return i;
  }
  return text.length;
}

/** A word without what is in its brackets. */
function outside(word: string): string {
  return word.replace(/[<([].*[>)\]]/s, '');
}
