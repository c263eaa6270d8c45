import type { IncomingMessage } from 'node:http';
import { type BlockList, isIP, isIPv4 } from 'node:net';

/** Groups of an IPv6 address that name a network: a client with one address has 2^64 of them. */
const NETWORK_GROUPS = 4;
const GROUPS = 8;

/** Entries of a header that are read: the client may have written those further left. */
const HOPS_MAX = 32;

/**
 * Whom a connection or a request without a key is counted for: an IPv4 address, or the first 64 bits of an IPv6 one. An IPv4 address
 * in IPv6 clothes is an IPv4 address.
 */
export function networkOf(address: string): string {
  const plain = plainAddress(address);
  if (!plain.includes(':')) return plain;
  const [head = '', tail] = plain.split('::');
  const before = head.split(':').filter((group) => group !== '');
  const after = tail?.split(':').filter((group) => group !== '') ?? [];
  const zeros = tail === undefined ? [] : Array.from({ length: GROUPS - before.length - after.length }, () => '0');
  const groups = [...before, ...zeros, ...after].slice(0, NETWORK_GROUPS);
  return `${groups.map((group) => Number.parseInt(group, 16).toString(16)).join(':')}::/64`;
}

/**
 * Where a request comes from: the address of its connection, or, where that is a proxy that is trusted, the last entry of X-Forwarded-For that
 * is none. What is no address is not believed, nor what stands before it: the request then is its proxy's.
 */
export function clientAddress(request: IncomingMessage, trusted: BlockList | undefined): string {
  const peer = plainAddress(request.socket.remoteAddress ?? '');
  if (!trusted || !isTrusted(peer, trusted)) return peer;
  // Node joins a header that came several times.
  const hops = String(request.headers['x-forwarded-for'] ?? '').split(',');
  let nearest = peer;
  for (const hop of hops.slice(-HOPS_MAX).reverse()) {
    const address = addressOf(hop.trim());
    if (address === undefined) return nearest;
    if (!isTrusted(address, trusted)) return address;
    nearest = address;
  }
  return nearest;
}

/** Without brackets, port, zone and IPv6 clothes; `undefined` for what is no address. */
function addressOf(text: string): string | undefined {
  const [, bracketed, port4] = /^(?:\[([^\]]+)\](?::\d+)?|(\d+(?:\.\d+){3}):\d+)$/.exec(text) ?? [];
  const address = plainAddress(bracketed ?? port4 ?? text);
  return isIP(address) === 0 ? undefined : address;
}

function plainAddress(address: string): string {
  const [, mapped] = /^(?:::|(?:0+:){5})ffff:(\d+(?:\.\d+){3})$/i.exec(address) ?? [];
  return mapped ?? address.split('%', 1)[0] ?? '';
}

function isTrusted(address: string, trusted: BlockList): boolean {
  return isIP(address) !== 0 && trusted.check(address, isIPv4(address) ? 'ipv4' : 'ipv6');
}
