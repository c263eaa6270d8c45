/**
 * What a terminal obeys instead of showing it: control characters (of both sets), and those that turn the direction of a text around or
 * end a line in some programs.
 */
const CONTROLS = /[\p{Cc}\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]/gu;
/** The same without those that a text of several lines is made with. */
const CONTROLS_OF_LINES = /[^\P{Cc}\n\t]|[\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]/gu;

/** A text of several lines as it may go to a terminal: controls as JSON writes them, `\u001b`. Line feeds and tabs stay. */
export function printable(text: string): string {
  return text.replace(CONTROLS_OF_LINES, escaped);
}

/** What stands within one line, and may come from a file: line feeds and tabs are escaped as well. */
export function oneLine(text: string): string {
  return text.replace(CONTROLS, escaped);
}

function escaped(control: string): string {
  const short = { '\n': '\\n', '\r': '\\r', '\t': '\\t' }[control];
  return short ?? `\\u${control.charCodeAt(0).toString(16).padStart(4, '0')}`;
}
