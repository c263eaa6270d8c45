#!/usr/bin/env node
/**
 * The command `foretell`. It imports nothing before it knows that this Node can run the rest: a static import of a name that an older Node lacks,
 * or syntax that it cannot parse, would end in a SyntaxError before the first line here.
 */
export {};

const NODE_MIN = 24;

if (Number.parseInt(process.versions.node, 10) < NODE_MIN) {
  process.stderr.write(
    `foretell: expected Node ${NODE_MIN} or newer, got ${process.version}; \`npm install node@${NODE_MIN}\` in this folder brings one that npx finds\n`,
  );
  process.exitCode = 1;
} else {
  void import('./main.ts');
}
