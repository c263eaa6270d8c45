import { expect, test } from 'vitest';
import { ConfigError, readConfig } from '../../src/process/config.ts';

const originsOf = (CORS_ORIGINS: string) => readConfig('start', { CORS_ORIGINS }).corsOrigins;

test('origins are taken as browsers send them', () => {
  const said = 'https://app.example, http://localhost:5173,https://xn--mller-kva.example,http://[::1]:3000';
  expect(originsOf(said)).toEqual(said.split(/, ?/));
});

test.each([
  ['https://*.example.com', 'wildcards are not supported'],
  ['*', 'wildcards are not supported'],
  ['https://app.example:*', 'wildcards are not supported'],
  ['null', 'sandboxed'],
  ['https://app.example/', 'expected "https://app.example"'],
  ['https://app.example/path', 'expected "https://app.example"'],
  ['https://App.Example', 'expected "https://app.example"'],
  ['HTTPS://app.example', 'expected "https://app.example"'],
  ['https://app.example:443', 'expected "https://app.example"'],
  ['http://app.example:80', 'expected "http://app.example"'],
  ['https://me@app.example', 'expected "https://app.example"'],
  ['https://müller.example', 'expected "https://xn--mller-kva.example"'],
  ['https://%2A.example.com', 'expected "https://*.example.com"'],
  ['app.example', 'such as https://app.example'],
  ['app.example:443', 'such as https://app.example'],
  ['ws://app.example', 'such as https://app.example'],
  ['file:///index.html', 'such as https://app.example'],
  ['https://a.example https://b.example', 'such as https://app.example'],
  [',', 'comma-separated'],
])('%s is no origin that a browser sends: the start says what was expected', (entry, expected) => {
  for (const value of [entry, `https://good.example,${entry}`]) {
    if (value.endsWith(',,')) continue;
    expect(() => originsOf(value)).toThrow(ConfigError);
    expect(() => originsOf(value)).toThrow(expected);
  }
});
