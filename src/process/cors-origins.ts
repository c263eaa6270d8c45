/** The error in an entry of CORS_ORIGINS; `undefined` if it is an origin as browsers send it. */
export function originError(entry: string): string | undefined {
  const quoted = `"${entry}"`;
  if (entry.includes('*')) return `${quoted}: wildcards are not supported; list each origin`;
  if (entry === 'null') return `${quoted} is every sandboxed page; list the origin of the page that embeds it`;
  const url = URL.parse(entry);
  if (!url || !/^https?:$/.test(url.protocol)) return `${quoted}: expected an origin such as https://app.example`;
  // Browsers send it in one form alone: lower case, no default port, no path.
  return url.origin === entry ? undefined : `${quoted}: expected "${url.origin}", as browsers send it`;
}
