import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { imageOptions } from '../../src/media/image-options.ts';
import { manifestSchema } from '../../src/models/manifest.ts';
import { describeSettings } from '../../src/process/settings.ts';

const readme = readFileSync('README.md', 'utf8');

test('the README lists every setting with its default, as --help does', () => {
  const rows = describeSettings().map(
    ({ name, default: fallback, description }) => `| \`${name}\` | ${fallback && `\`${fallback}\``} | ${description} |`,
  );
  const table = ['| setting | default | meaning |', '| --- | --- | --- |', ...rows].join('\n');
  expect(readme).toContain(table);
});

test('the README names every key of a manifest', () => {
  const keys = [...Object.keys(manifestSchema.shape), ...Object.keys(imageOptions.shape)];
  for (const key of keys) expect(readme).toMatch(new RegExp(`\`[^\`]*\\b${key}\\b`));
});
