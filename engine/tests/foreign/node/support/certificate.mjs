// A certificate for the length of a test file, which vouches for itself.

import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Makes a certificate for `localhost` and 127.0.0.1, and the arguments with which an engine presents it. */
export function makeCertificate() {
  const folder = mkdtempSync(join(tmpdir(), 'ringmain-tls-'));
  process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
  const [cert, key] = ['cert.pem', 'key.pem'].map((name) => join(folder, name));
  execFileSync('openssl', [
    'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2',
    '-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1', '-keyout', key, '-out', cert,
  ], { stdio: 'pipe' });
  return {
    ca: readFileSync(cert),
    args: ['--tls-listen', '127.0.0.1:0', '--tls-cert', cert, '--tls-key', key],
  };
}
