/** Prepares Node for a quick start, then runs the command. */
import { enableCompileCache, getCompileCacheDir } from 'node:module';
import { join } from 'node:path';

keepCompiled();
// What graphql looks at, and nothing else: where it is not said, each check of a type asks whether two graphqls are loaded.
process.env['NODE_ENV'] ??= 'production';
// A SIGHUP that comes while modules load ends nothing either. A command that serves has set its own listener once `main` has returned.
const onHangUp = () => undefined;
process.on('SIGHUP', onHangUp);
const { main } = await import('./commands.ts');
const ended = main(process.argv.slice(2));
process.off('SIGHUP', onHangUp);
await ended;

/**
 * Keeps what Node compiles beside the code, for the starts to come, which take half the time: not where temporary files are, since others might
 * leave something there. Where nothing may be written, nothing is kept. The inference processes find it by its variable.
 */
function keepCompiled(): void {
  const directory = join(import.meta.dirname, '..', '.cache');
  enableCompileCache(directory);
  if (getCompileCacheDir() !== undefined) process.env['NODE_COMPILE_CACHE'] ??= directory;
}
