import type { IncomingMessage } from 'node:http';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { clientAddress, networkOf } from '../../src/api/http/client-address.ts';
import { settings } from '../../src/process/settings.ts';

const trusted = settings.TRUSTED_PROXIES.parse('10.0.0.0/8, ::1,2001:db8:ffff::/48');
const from = (remoteAddress: string, forwarded?: string) =>
  ({ socket: { remoteAddress }, headers: { 'x-forwarded-for': forwarded } }) as unknown as IncomingMessage;

test.each([
  ['192.0.2.7', '192.0.2.7'],
  ['::ffff:192.0.2.7', '192.0.2.7'],
  ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
  ['2001:0db8:0001:0002::9', '2001:db8:1:2::/64'],
  ['2001:db8::1', '2001:db8:0:0::/64'],
  ['::1', '0:0:0:0::/64'],
  ['fe80::1%eth0', 'fe80:0:0:0::/64'],
])('%s is counted as %s', (address, network) => {
  expect(networkOf(address)).toBe(network);
});

test('all addresses of one IPv6 network are one owner, those of another are another', () => {
  const group = fc.integer({ min: 0, max: 0xffff }).map((value) => value.toString(16));
  const half = fc.array(group, { minLength: 4, maxLength: 4 }).map((groups) => groups.join(':'));
  fc.assert(
    fc.property(half, half, half, (network, one, other) => {
      expect(networkOf(`${network}:${one}`)).toBe(networkOf(`${network}:${other}`));
      expect(networkOf(`${network}:${one}`)).toBe(`${network}::/64`);
    }),
  );
});

test.each([
  ['not a proxy that is trusted', '192.0.2.1', '198.51.100.9', '192.0.2.1'],
  ['one proxy', '10.0.0.1', '198.51.100.9', '198.51.100.9'],
  ['what the client wrote itself', '10.0.0.1', '203.0.113.5, 198.51.100.9', '198.51.100.9'],
  ['two proxies', '::ffff:10.0.0.1', '198.51.100.9, 10.2.3.4', '198.51.100.9'],
  ['a port', '10.0.0.1', '198.51.100.9:4711', '198.51.100.9'],
  ['IPv6 in brackets', '::1', '[2001:db8::7]:443', '2001:db8::7'],
  ['IPv6 without', '::1', '2001:db8::7', '2001:db8::7'],
  ['IPv4 in IPv6 clothes', '::1', '::ffff:198.51.100.9', '198.51.100.9'],
  ['trusted ones alone', '10.0.0.1', '10.0.0.2, 2001:db8:ffff::1', '10.0.0.2'],
  ['garbage', '10.0.0.1', '198.51.100.9, unknown', '10.0.0.1'],
  ['garbage before a proxy', '10.0.0.1', '<script>, 10.0.0.9', '10.0.0.9'],
  ['nothing', '10.0.0.1', undefined, '10.0.0.1'],
  ['an empty entry', '10.0.0.1', ' , ', '10.0.0.1'],
])('of %s', (_what, peer, forwarded, client) => {
  expect(clientAddress(from(peer, forwarded), trusted)).toBe(client);
});

test('whatever a header says, the address is one or the proxy', () => {
  fc.assert(
    fc.property(fc.string(), (forwarded) => {
      const address = clientAddress(from('10.0.0.1', forwarded), trusted);
      expect(address === '10.0.0.1' || /^[\d.]+$|:/.test(address)).toBe(true);
    }),
  );
});

test.each(['10.0.0.0/33', '10.0.0', 'proxy.example', '::1/129', '10.0.0.0/8/8', '10.0.0.1/x'])(
  'the setting %s is refused',
  (value) => {
    expect(settings.TRUSTED_PROXIES.safeParse(value).success).toBe(false);
  },
);
