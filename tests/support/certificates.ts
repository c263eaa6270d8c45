import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { requireBinary } from './binaries.ts';
import { runProgram } from './processes.ts';

/** Paths of PEM files: an authority of one's own, and a certificate for `localhost` that it has signed. */
export interface Certificates {
  ca: string;
  cert: string;
  key: string;
  remove(): Promise<void>;
}

const DAYS = '2';

export async function makeCertificates(): Promise<Certificates> {
  const binary = await requireBinary('openssl', 'openssl');
  const directory = await mkdtemp(join(tmpdir(), 'foretell-certificates-'));
  const path = (name: string) => join(directory, name);
  const openssl = async (...args: string[]) => {
    const { code, stderr } = await runProgram(binary, args);
    if (code !== 0) throw new Error(`openssl ${args.join(' ')} ended with ${code}: ${stderr}`);
  };
  const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-noenc'];
  await openssl(
    'req',
    '-x509',
    ...newKey,
    '-days',
    DAYS,
    '-subj',
    '/CN=Foretell test authority',
    '-keyout',
    path('ca.key'),
    '-out',
    path('ca.pem'),
  );
  await openssl('req', ...newKey, '-subj', '/CN=localhost', '-keyout', path('server.key'), '-out', path('server.csr'));
  await writeFile(path('server.ext'), 'subjectAltName=DNS:localhost,IP:127.0.0.1\n');
  const signing = ['-CA', path('ca.pem'), '-CAkey', path('ca.key'), '-CAcreateserial', '-extfile', path('server.ext')];
  await openssl('x509', '-req', '-in', path('server.csr'), ...signing, '-days', DAYS, '-out', path('server.pem'));
  return {
    ca: path('ca.pem'),
    cert: path('server.pem'),
    key: path('server.key'),
    remove: () => rm(directory, { recursive: true, force: true }),
  };
}
