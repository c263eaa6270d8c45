import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { findPackageJSON } from 'node:module';
import { dirname, join } from 'node:path';

const file = findPackageJSON(import.meta.url);
assert(file);

/** The folder of package.json: of the checkout, or of the installed package, where this code lies in `dist/`. */
const PACKAGE_DIR = dirname(file);

export const { version: PACKAGE_VERSION }: { version: string } = JSON.parse(readFileSync(file, 'utf8'));

/** The models that come along. */
export const SHIPPED_MODELS_DIR = join(PACKAGE_DIR, 'models');

/** Whether `npm run demo` can be run: in a checkout, not in the package or the image. */
export const HAS_DEMO = existsSync(join(PACKAGE_DIR, 'examples'));
