// wss:// and https:// by Node's own TLS: what is carried, what is refused, and sessions that are resumed.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import https from 'node:https';
import { it } from 'node:test';
import tls from 'node:tls';
import { onEachBackend } from './support/backends.mjs';
import { makeCertificate } from './support/certificate.mjs';
import { Client } from './support/client.mjs';
import { until, within } from './support/deadline.mjs';

const { ca, args } = makeCertificate();
const MIB = 1 << 20;

onEachBackend('TLS', { args: [...args, '--message-bytes-max', '4MiB'] }, (engine) => {
  const open = (path, options = {}) => Client.open(engine().secureUrl(path), { options: { ca, ...options } });

  it('echoes messages of all sizes, one after the other and many at once', async () => {
    const client = await open('/echo');
    for (const size of [0, 1, 125, 126, 16383, 16384, 16385, 65536, MIB]) {
      const body = randomBytes(size);
      client.send(body);
      const { data } = await client.next(`${size} bytes`);
      assert.ok(body.equals(data), `${size} bytes came back as ${data.length}, or changed`);
    }
    const bodies = Array.from({ length: 300 }, (_, i) => randomBytes((i * i * 7) % 5000));
    for (const body of bodies) client.send(body);
    for (const [i, body] of bodies.entries()) {
      assert.ok(body.equals((await client.next(`echo ${i}`)).data), `echo ${i} is not what was sent`);
    }
    await client.close();
  });

  it('lets members hear each other, whether they came by wss or ws', async () => {
    const members = [
      await open('/raw/mixed'),
      await open('/raw/mixed'),
      await Client.open(engine().url('/raw/mixed')),
    ];
    for (const [sender, member] of members.entries()) {
      member.send(`from ${sender}`);
      for (const other of members.filter((one) => one !== member)) {
        assert.equal((await other.next()).data.toString(), `from ${sender}`);
      }
    }
    await Client.closeAll(members);
  });

  it('speaks TLS 1.2 and 1.3, and nothing older', async () => {
    for (const version of ['TLSv1.2', 'TLSv1.3']) {
      const client = await open('/echo', { minVersion: version, maxVersion: version });
      assert.equal(client.socket._socket.getProtocol(), version);
      await client.close();
    }
    const old = { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' };
    await assert.rejects(open('/echo', old), /EPROTO|protocol version|alert/i);
  });

  it('is not trusted by whom it was not vouched for to', async () => {
    await assert.rejects(open('/echo', { ca: [] }), /self-signed certificate/);
  });

  it('resumes sessions on whichever shard', async () => {
    const connect = (session) => new Promise((resolve, reject) => {
      const { host, securePort: port } = engine();
      const socket = tls.connect({ host, port, ca, servername: 'localhost', session });
      let ticket;
      socket.on('session', (given) => {
        ticket = given;
      });
      socket.once('error', reject);
      socket.once('secureConnect', () => {
        socket.write('GET /nowhere HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n');
        socket.resume();
        const reused = socket.isSessionReused();
        socket.once('close', () => resolve({ ticket, reused }));
      });
    });
    let { ticket, reused } = await within(connect(), 'the first connection');
    assert.equal(reused, false);
    for (let i = 0; i < 20; i += 1) {
      ({ ticket, reused } = await within(connect(ticket), `connection ${i}`));
      assert.equal(reused, true, `connection ${i} took a full handshake`);
    }
  });

  it('answers https, and tells plain HTTP to use it', async () => {
    const { host, securePort } = engine();
    const response = await within(new Promise((resolve, reject) => {
      https.get({ host, port: securePort, ca, path: '/nowhere', agent: false }, resolve).once('error', reject);
    }), 'the answer by https');
    assert.equal(response.statusCode, 404);
    response.resume();
    const plain = await within(fetch(`http://${host}:${securePort}/echo`), 'the answer by http');
    assert.equal(plain.status, 400);
    assert.match(await plain.text(), /use https:\/\/ or wss:\/\//);
  });

  it('counts handshakes by how they ended', async () => {
    await until(async () => {
      const metrics = await engine().metrics();
      const count = (outcome) => metrics.sum('ringmain_tls_handshakes_total', { outcome });
      return count('full') > 0 && count('resumed') >= 20 && count('plain_http') === 1 && count('failed') >= 1;
    }, 'all outcomes were counted');
  });
});
