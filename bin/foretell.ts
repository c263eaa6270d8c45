#!/usr/bin/env node
/** The command `foretell`. It loads nothing before it knows that this Node can run the rest. */
const NODE_MIN = 24;

if (Number.parseInt(process.versions.node, 10) < NODE_MIN) {
  process.stderr.write(
    `foretell: expected Node ${NODE_MIN} or newer, got ${process.version}; \`npm install node@${NODE_MIN}\` in this folder brings one that npx finds\n`,
  );
  process.exitCode = 1;
} else {
  const { main } = await import('./commands.ts');
  await main(process.argv.slice(2));
}
