import { createHash } from 'node:crypto';
import type { Stats } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { messageOf } from '../errors.ts';
import type { ApiKeys } from './api-keys.ts';
import type { Log } from './log.ts';

/** How often the file is polled. It is not watched: Kubernetes swaps a link to a folder, and network disks report no changes. */
const POLL_MS = 1_000;

/** Of some ten thousand keys. */
const FILE_BYTES_MAX = 1024 * 1024;

/** What the file was at one look. */
interface Look {
  /** Names the content, its mode and its owner, or what is wrong: equal where nothing has changed. */
  stamp: string;
  /** Absent where the file cannot be read. */
  text?: string;
  warning?: string | undefined;
}

export interface KeyFile {
  /** Reads the file now. Does not reject: an error is logged, and the keys stay. */
  read(): Promise<void>;
  close(): void;
}

/**
 * Follows API_KEYS_FILE: a change of its content takes effect once two looks, a second apart, have found the same, since the file may still be
 * written. A file that is missing, empty or wrong changes nothing, and is logged once. A pipe is not read again.
 */
export function followKeyFile(options: { path: string; keys: ApiKeys; log: Log; pollMs?: number }): KeyFile {
  const { path, keys, log, pollMs = POLL_MS } = options;
  let taken: string | undefined;
  let seen: string | undefined;
  let isFirst = true;

  function take({ stamp, text, warning }: Look): void {
    taken = stamp;
    if (warning !== undefined && text !== undefined)
      log.warn({ setting: 'API_KEYS_FILE', warning }, 'API key file at risk');
    try {
      if (text === undefined) throw new Error(warning);
      const changes = keys.replaceFile(text);
      if (changes.added + changes.removed === 0) return;
      log.info(changes, 'API key file taken');
      warnOfWeakKeys('API_KEYS_FILE', keys, log);
    } catch (error) {
      log.warn({ setting: 'API_KEYS_FILE', fault: messageOf(error) }, 'API key file rejected, the previous keys stay');
    }
  }

  async function look(isAsked: boolean): Promise<void> {
    const found = await lookAt(path);
    // The first time, the settings were read a moment ago.
    const isSettled = isAsked || isFirst || seen === found.stamp;
    isFirst = false;
    seen = found.stamp;
    if (isSettled && taken !== found.stamp) take(found);
  }

  let last = look(false);
  const again = (isAsked: boolean) => {
    last = last.then(() => look(isAsked));
    return last;
  };
  let timer: NodeJS.Timeout | undefined;
  let isClosed = false;
  const pollLater = () => {
    if (!isClosed) timer = setTimeout(() => void again(false).then(pollLater), pollMs).unref();
  };
  pollLater();
  return {
    read: () => again(true),
    close() {
      isClosed = true;
      clearTimeout(timer);
    },
  };
}

/** Logs the owners whose keys can be guessed, never the keys. */
export function warnOfWeakKeys(setting: string, keys: ApiKeys, log: Log): void {
  const { weakOwners: owners } = keys;
  if (owners.length === 0) return;
  const warning =
    'made of few characters, repetitions, sequences, common words or its name; `openssl rand -hex 24` makes a good one';
  log.warn({ setting, owners, warning }, 'key can be guessed');
}

async function lookAt(path: string): Promise<Look> {
  try {
    const stats = await stat(path);
    // A second read of a pipe would wait for a writer, or find it empty.
    if (!stats.isFile()) return { stamp: 'pipe', warning: 'not a regular file, so its changes are not followed' };
    if (stats.size > FILE_BYTES_MAX) throw new Error(`expected at most ${FILE_BYTES_MAX} bytes, got ${stats.size}`);
    const text = await readFile(path, 'utf8');
    const digest = createHash('sha256').update(text).digest('hex');
    return { stamp: `${digest} ${stats.mode} ${stats.uid}`, text, warning: riskOf(stats) };
  } catch (error) {
    return { stamp: messageOf(error), warning: messageOf(error) };
  }
}

/** The risk that other users can read or change the keys. */
function riskOf({ mode, uid }: Stats): string | undefined {
  const own = process.getuid?.();
  if (own === undefined) return undefined;
  if ((mode & 0o077) !== 0) {
    return `its mode is ${(mode & 0o777).toString(8)}, so other users can get at it; expected 600 or less: chmod 600`;
  }
  const isForeign = uid !== own && uid !== 0;
  return isForeign
    ? `it belongs to user ${uid}, who can read and change it; expected user ${own}: chown ${own}`
    : undefined;
}
