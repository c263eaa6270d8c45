#!/usr/bin/env node
/** The command `foretell`. It loads nothing before it knows that this Node can run the rest. */
import { enableCompileCache, getCompileCacheDir } from 'node:module';
import { join } from 'node:path';

const NODE_MIN = 24;

if (Number.parseInt(process.versions.node, 10) < NODE_MIN) {
  process.stderr.write(
    `foretell: expected Node ${NODE_MIN} or newer, got ${process.version}; \`npm install node@${NODE_MIN}\` in this folder brings one that npx finds\n`,
  );
  process.exitCode = 1;
} else {
  keepCompiled();
  // What graphql looks at, and nothing else: where it is not said, each check of a type asks whether two graphqls are loaded.
  process.env['NODE_ENV'] ??= 'production';
  const { main } = await import('./commands.ts');
  await main(process.argv.slice(2));
}

/**
 * Keeps what Node compiles beside the code, for the starts to come, which take half the time: not where temporary files are, since others might
 * leave something there. Where nothing may be written, nothing is kept. The inference processes find it by its variable.
 */
function keepCompiled(): void {
  const directory = join(import.meta.dirname, '..', '.cache');
  enableCompileCache(directory);
  if (getCompileCacheDir() !== undefined) process.env['NODE_COMPILE_CACHE'] ??= directory;
}
