import type { IncomingMessage } from 'node:http';
import type { Log } from '../../process/log.ts';
import { rareLog } from '../../process/rare-log.ts';

/** Hears of each request that came without a key that opens what it asked for. */
export type OnRefusedKey = (request: IncomingMessage) => void;

/** Logs them, never the key: a client may guess keys, or still use a removed one. */
export function createRefusedKeys(log: Log): OnRefusedKey {
  const rare = rareLog(log);
  return ({ socket: { remoteAddress }, headers: { authorization }, url }) => {
    const path = url?.split('?', 1)[0]?.slice(0, PATH_LENGTH_MAX);
    rare.warn({ remoteAddress, path, hadKey: authorization !== undefined }, 'key refused');
  };
}

const PATH_LENGTH_MAX = 100;
