// Tokens that `jose` made, as a browser and a back end show them: each algorithm, by file and by a set of keys.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { it } from 'node:test';
import { SignJWT, exportJWK, exportSPKI, generateKeyPair } from 'jose';
import { onEachBackend } from './support/backends.mjs';
import { Client } from './support/client.mjs';
import { httpUrl } from './support/stream.mjs';

const SECRET = new TextEncoder().encode('a secret of this test that has more than 32 bytes');
const API_KEY = 'the api key of a back end in this test'.replaceAll(' ', '-');
const folder = mkdtempSync(join(tmpdir(), 'ringmain-auth-'));
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));

const pairs = {};
for (const algorithm of ['RS256', 'ES256', 'EdDSA']) {
  pairs[algorithm] = await generateKeyPair(algorithm, { extractable: true });
}
const stranger = await generateKeyPair('ES256');



/** Writes a file, and returns its path. */
function file(name, text) {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
}

async function configuration() {
  let text = `[auth]\nissuer = "https://login.example"\naudience = "ringmain"\n`;
  text += `[[auth.keys]]\nid = "HS256"\nalgorithm = "HS256"\nsecret_file = "${file('secret', SECRET)}"\n`;
  for (const [algorithm, { publicKey }] of Object.entries(pairs)) {
    const pem = file(`${algorithm}.pem`, await exportSPKI(publicKey));
    text += `[[auth.keys]]\nid = "${algorithm}"\nalgorithm = "${algorithm}"\npublic_key_file = "${pem}"\n`;
  }
  text += `[[auth.api_keys]]\nname = "shop"\nkey = "${API_KEY}"\n`;
  return file('ringmain.toml', text);
}

async function setOfKeys() {
  const keys = [];
  for (const [kid, { publicKey }] of Object.entries(pairs)) {
    keys.push({ ...(await exportJWK(publicKey)), kid, alg: kid, use: 'sig' });
  }
  const jwks = file('jwks.json', JSON.stringify({ keys }));
  return file('jwks.toml', `[auth]\njwks_file = "${jwks}"\nissuer = "https://login.example"\naudience = "ringmain"\n`);
}

const ROOMS = [{ match: 'chat:*', join: true, publish: true }, { match: 'news', join: true }];

function token(algorithm, { key, claims = {}, kid = algorithm, lifetime = '10m' } = {}) {
  return new SignJWT({ rooms: ROOMS, ...claims })
    .setProtectedHeader({ alg: algorithm, kid })
    .setSubject('ann')
    .setIssuer('https://login.example')
    .setAudience('ringmain')
    .setExpirationTime(lifetime)
    .sign(key ?? (algorithm === 'HS256' ? SECRET : pairs[algorithm].privateKey));
}

/** As a browser can: by what it offers as subprotocols. */
async function browser(engine, path, jwt) {
  const client = await Client.open(engine.url(path), { options: { protocols: ['ringmain.v1', `bearer.${jwt}`] } });
  assert.equal(client.socket.protocol, 'ringmain.v1');
  return client;
}

const bearer = (jwt) => ({ headers: { authorization: `Bearer ${jwt}` } });

async function refused(url, options, status) {
  await assert.rejects(Client.open(url, { options }), new RegExp(`Unexpected server response: ${status}`));
}

onEachBackend('tokens', { args: ['--config', await configuration()] }, (engine) => {
  for (const algorithm of ['HS256', ...Object.keys(pairs)]) {
    it(`of ${algorithm} let in, from a browser and from elsewhere`, async () => {
      const jwt = await token(algorithm);
      const ann = await browser(engine(), '/raw/chat:a', jwt);
      const bob = await Client.open(engine().url('/raw/chat:a'), { options: bearer(jwt) });
      ann.send('hello');
      assert.equal((await bob.next()).data.toString(), 'hello');
      bob.send('and hello');
      assert.equal((await ann.next()).data.toString(), 'and hello');
      await Client.closeAll([ann, bob]);
    });
  }

  it('that are not good are refused', async () => {
    const url = engine().url('/raw/chat:a');
    await refused(url, {}, 401);
    await refused(url, bearer('a.b.c'), 401);
    await refused(url, bearer(await token('ES256', { key: stranger.privateKey })), 401);
    await refused(url, bearer(await token('HS256', { kid: 'RS256' })), 401);
    await refused(url, bearer(await token('HS256', { lifetime: '-10m' })), 401);
    await refused(url, bearer(await token('HS256', { claims: { nbf: Math.floor(Date.now() / 1000) + 600 } })), 401);
    await refused(engine().url('/raw/secret'), bearer(await token('HS256')), 403);
  });

  it('without the right to publish end with the attempt, and hear what others say until then', async () => {
    const jwt = await token('EdDSA');
    const reader = await browser(engine(), '/raw/news', jwt);
    const response = await fetch(httpUrl(engine(), '/rooms/news/messages'), {
      method: 'POST', body: 'from the back end', headers: { authorization: `Bearer ${API_KEY}`, 'content-type': 'text/plain' },
    });
    assert.equal(response.status, 202);
    assert.equal((await reader.next()).data.toString(), 'from the back end');
    reader.send('from a reader');
    const { code, reason } = await reader.ended();
    assert.equal(code, 1008);
    assert.match(reason, /not allowed/);
    const mine = await fetch(httpUrl(engine(), '/rooms/news/messages'), { method: 'POST', body: 'x', ...bearer(jwt) });
    assert.equal(mine.status, 403);
  });

  it('may come as the first message, which nobody else gets', async () => {
    const ann = await browser(engine(), '/raw/chat:b', await token('RS256'));
    const bob = await Client.open(engine().url('/raw/chat:b?auth=message'));
    bob.send(await token('ES256'));
    bob.send('hello');
    assert.equal((await ann.next()).data.toString(), 'hello');
    ann.send('welcome');
    assert.equal((await bob.next()).data.toString(), 'welcome');
    const eve = await Client.open(engine().url('/raw/chat:b?auth=message'));
    eve.send('let me in');
    assert.equal((await eve.ended()).code, 3000);
    assert.equal(ann.unread.length, 0);
    await Client.closeAll([ann, bob]);
  });

  it('end the connection when they expire, with the advice to come with a new one', async () => {
    // Beyond the leeway of 30 s, which the engine adds.
    const ann = await browser(engine(), '/raw/chat:c', await token('HS256', { lifetime: '-27s' }));
    const { code, reason } = await ann.ended();
    assert.equal(code, 3000);
    assert.match(reason, /connect again with a new one/);
  });

  it('let in to event streams too', async () => {
    const jwt = await token('HS256');
    const stream = await fetch(httpUrl(engine(), '/sse/chat:d'), bearer(jwt));
    assert.equal(stream.status, 200);
    await stream.body.cancel();
    const without = await fetch(httpUrl(engine(), '/sse/chat:d'));
    assert.equal(without.status, 401);
    assert.match(without.headers.get('www-authenticate'), /^Bearer/);
  });
});

onEachBackend('tokens by a set of keys', { args: ['--config', await setOfKeys()] }, (engine) => {
  for (const algorithm of Object.keys(pairs)) {
    it(`of ${algorithm} let in`, async () => {
      const ann = await browser(engine(), '/raw/chat:a', await token(algorithm));
      await ann.close();
    });
  }

  it('of a secret, which is in no set, are refused', async () => {
    await refused(engine().url('/raw/chat:a'), bearer(await token('HS256')), 401);
  });
});
