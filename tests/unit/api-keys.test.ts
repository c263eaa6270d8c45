import { randomBytes, randomInt, randomUUID } from 'node:crypto';
import { chmod, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, onTestFinished, test, vi } from 'vitest';
import { ApiKeys } from '../../src/process/api-keys.ts';
import { ConfigError, readConfig } from '../../src/process/config.ts';
import { followKeyFile } from '../../src/process/key-file.ts';
import { rareLog } from '../../src/process/rare-log.ts';
import { isWeakKey } from '../../src/process/weak-key.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';
import { createTestLog } from '../support/test-log.ts';

const ANN = 'hK2vQ9xW4mZ7pL1sR8dT5yBc';
const BOB = 'n3G6jF0wE9uX2aV7kC5oM8qS';
const EVE = 'zT4rY8iP1lD6hS9gN3bU7vJe';

const bearer = (key: string) => `Bearer ${key}`;

test.each([
  ['one character', 'k'.repeat(24)],
  ['two in turn', 'ab'.repeat(16)],
  ['a few, without an order', 'aabbabacbcabbacabcbaacbb'],
  ['an alphabet', 'abcdefghijklmnopqrstuvwx'],
  ['digits, one after the other', '012345678901234567890123'],
  ['backwards', '9876543210zyxwvutsrqponm'],
  ['rows of a keyboard', 'QwertyuiopAsdfghjklZxcvbnm'],
  ['a placeholder', 'changemechangemechangeme'],
  ['a placeholder with words between', 'change-me-this-is-a-secret-key-123'],
  ['a word and digits', 'password1234567890123456'],
  ['its owner, over and over', 'marketing-marketing-marketing-1'],
  ['its owner and a sequence', 'marketing-0123456789-0123456789'],
])('a key of %s is weak', (_, key) => {
  expect(isWeakKey(key, 'marketing')).toBe(true);
});

test('random keys of every usual alphabet are not, whoever owns them', () => {
  const digits = () => Array.from({ length: 24 }, () => randomInt(10)).join('');
  const keys = Array.from({ length: 2_000 }, () => [
    randomBytes(12).toString('hex'),
    randomBytes(18).toString('base64url'),
    randomUUID(),
    randomBytes(24).toString('hex'),
  ]).flat();
  expect(keys.filter((key) => isWeakKey(key, 'a'))).toEqual([]);
  expect(keys.filter((key) => isWeakKey(`marketing-${key}`, 'marketing'))).toEqual([]);
  // Decimal digits have the least: one in some thousands falls below.
  expect(Array.from({ length: 2_000 }, digits).filter((key) => isWeakKey(key, 'a')).length).toBeLessThan(5);
});

test('keys of the file are replaced, those of the setting stay, and listeners hear which are gone', () => {
  const keys = ApiKeys.parse(`ann:${ANN}`);
  keys.replaceFile(`bob:${BOB}`);
  const heard: boolean[][] = [];
  keys.watch((isRevoked) => heard.push([ANN, BOB, EVE].map((key) => isRevoked(bearer(key)))));
  expect(keys.replaceFile(`# new\nbob:${BOB}\neve:${EVE}`)).toEqual({ added: 1, removed: 0 });
  expect(heard).toEqual([]);
  expect(keys.replaceFile(`eve:${EVE}`)).toEqual({ added: 0, removed: 1 });
  expect(heard).toEqual([[false, true, false]]);
  expect([ANN, BOB, EVE].map((key) => keys.ownerOf(bearer(key)))).toEqual(['ann', undefined, 'eve']);
  // A key that changes hands is gone for whoever had it.
  keys.replaceFile(`mallory:${EVE}`);
  expect(heard.at(-1)).toEqual([false, false, true]);
});

test.each([
  ['an empty file', ''],
  ['comments alone', '# nothing here\n\n'],
  ['a short key', 'bob:short'],
  ['a key without an owner', BOB],
  ['a key that the setting has', `bob:${ANN}`],
])('%s changes nothing, and is refused at the start', async (_, text) => {
  const keys = ApiKeys.parse(`ann:${ANN}`);
  keys.replaceFile(`bob:${BOB}`);
  expect(() => keys.replaceFile(text)).toThrow();
  expect([ANN, BOB].map((key) => keys.ownerOf(bearer(key)))).toEqual(['ann', 'bob']);
  const path = join(await temporaryDirectory(), 'keys');
  await writeFile(path, text);
  expect(() => readConfig('start', { API_KEYS: `ann:${ANN}`, API_KEYS_FILE: path })).toThrow(ConfigError);
});

async function followed(text: string, mode = 0o600) {
  const path = join(await temporaryDirectory(), 'keys');
  await writeFile(path, text, { mode });
  const keys = ApiKeys.parse('');
  keys.replaceFile(text);
  const log = createTestLog();
  const file = followKeyFile({ path, keys, log, pollMs: 20 });
  onTestFinished(file.close);
  const isKnown = (key: string) => keys.ownerOf(bearer(key)) !== undefined;
  const warnings = () => log.lines('warn').map(({ message }) => message);
  return { path, keys, log, file, isKnown, warnings };
}

test('a file that was written anew, replaced or linked elsewhere is taken by itself', async () => {
  const { path, isKnown, warnings } = await followed(`ann:${ANN}`);
  await writeFile(path, `bob:${BOB}`);
  await expect.poll(() => [isKnown(ANN), isKnown(BOB)]).toEqual([false, true]);
  await writeFile(`${path}.new`, `eve:${EVE}`, { mode: 0o600 });
  await rename(`${path}.new`, path);
  await expect.poll(() => [isKnown(BOB), isKnown(EVE)]).toEqual([false, true]);
  // As Kubernetes does: another folder behind the same name.
  await writeFile(`${path}.target`, `ann:${ANN}`, { mode: 0o600 });
  await symlink(`${path}.target`, `${path}.link`);
  await rename(`${path}.link`, path);
  await expect.poll(() => [isKnown(ANN), isKnown(EVE)]).toEqual([true, false]);
  expect(warnings()).toEqual([]);
});

test('a wrong, an emptied and a missing file keep the keys, and each is logged once, without a key', async () => {
  const { path, log, file, isKnown } = await followed(`ann:${ANN}`);
  const faults = () => log.lines('warn').map(({ fields }) => String(fields['fault']));
  // In one step: an empty file that is being written may be looked at twice.
  await writeFile(`${path}.new`, `ann:${ANN}\nbob:too-short-a-secret`, { mode: 0o600 });
  await rename(`${path}.new`, path);
  await expect.poll(() => faults()).toEqual([expect.stringContaining('the key of "bob" is shorter')]);
  await writeFile(path, '');
  await expect.poll(() => faults().at(-1)).toContain('expected owner:key pairs');
  await rm(path);
  await expect.poll(() => faults().at(-1)).toContain('ENOENT');
  for (let look = 0; look < 3; look += 1) await file.read();
  expect(faults()).toHaveLength(3);
  expect(isKnown(ANN)).toBe(true);
  expect(JSON.stringify(log.lines())).not.toMatch(/too-short-a-secret|hK2vQ9/);
});

test('what is asked for by a signal is taken at once', async () => {
  const { path, file, isKnown } = await followed(`ann:${ANN}`);
  await writeFile(path, `bob:${BOB}`);
  await file.read();
  expect([isKnown(ANN), isKnown(BOB)]).toEqual([false, true]);
});

test('a file that others can read is logged, at the start and when it becomes one', async () => {
  const open = await followed(`ann:${ANN}`, 0o644);
  await expect.poll(() => open.warnings()).toEqual(['API key file at risk']);
  expect(open.log.lines('warn')[0]?.fields['warning']).toContain('its mode is 644');
  const closed = await followed(`ann:${ANN}`);
  await closed.file.read();
  expect(closed.warnings()).toEqual([]);
  await chmod(closed.path, 0o640);
  await expect.poll(() => closed.warnings()).toEqual(['API key file at risk']);
});

test('lines that callers cause are bounded, and those that are not logged are counted', () => {
  vi.useFakeTimers();
  onTestFinished(() => void vi.useRealTimers());
  const log = createTestLog();
  const rare = rareLog(log, { linesMax: 3, periodMs: 50 });
  for (let i = 0; i < 100; i++) rare.warn({ i }, 'key refused');
  rare.warn({}, 'another message');
  const lines = () => log.lines('warn').filter(({ message }) => message === 'key refused');
  expect(lines().map(({ fields }) => fields)).toEqual([0, 1, 2].map((i) => ({ i, count: 1 })));
  vi.advanceTimersByTime(50);
  expect(lines()).toHaveLength(4);
  expect(lines().at(-1)?.fields).toEqual({ i: 99, count: 97 });
  expect(log.lines()).toHaveLength(5);
  // A period without any ends it: the next one is logged at once.
  vi.advanceTimersByTime(50);
  rare.warn({ i: 100 }, 'key refused');
  expect(lines().at(-1)?.fields).toEqual({ i: 100, count: 1 });
});
